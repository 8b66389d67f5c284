#include "plan/step_work.h"

#include <algorithm>
#include <cmath>

namespace polymath::plan {
namespace {

double seen(double tokens, double window) { return window > 0 ? std::min(tokens, window) : tokens; }

}  // namespace

double expected_experts(double experts, double top_k, double tokens) {
  return experts * (1 - std::pow(1 - top_k / experts, tokens));
}

double StepWork::bytes(const StepExtent& extent) const {
  double sum = dense_bytes + (extent.logit_rows > 0 ? head_bytes : 0);
  for (const ExpertWork& e : experts) {
    const double touched = expected_experts(e.experts, e.top_k, extent.all_tokens) * e.on_gpu / e.experts;
    sum += e.n_layers * touched * e.expert_bytes;
  }
  for (const AttentionWork& a : attention) {
    sum += a.n_layers * a.token_bytes * seen(extent.context, a.window) * extent.sequences;
  }
  return sum;
}

double StepWork::flops(const StepExtent& extent) const {
  double sum = dense_flops * extent.tokens + head_flops * extent.logit_rows;
  for (const ExpertWork& e : experts) {
    sum += e.n_layers * e.pair_flops * extent.all_tokens * e.top_k * e.on_gpu / e.experts;
  }
  for (const AttentionWork& a : attention) {
    const double share = extent.context > 0 ? seen(extent.context, a.window) / extent.context : 1;
    sum += a.n_layers * a.pair_flops * extent.pairs * share;
  }
  return sum;
}

}  // namespace polymath::plan
