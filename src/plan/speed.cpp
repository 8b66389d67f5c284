#include "plan/speed.h"

#include <algorithm>

namespace polymath::plan {
namespace {

double seconds(const GroupPlan& plan, const StepWork& work, const StepExtent& extent) {
  return std::max(work.bytes(extent) / (plan.gpu->read_gbs * 1e9), work.flops(extent) / (plan.gpu->bf16_tflops * 1e12));
}

}  // namespace

// A pipeline works on as many parts of the batch at once as it has stages.
double decode_limit(const GroupPlan& plan, double sequences, double context) {
  const double of_group = std::max(1.0, sequences / plan.layout.data);
  const double parts = std::min<double>(plan.layout.pipeline, of_group), n = of_group / parts;
  const StepExtent step{.tokens = n,
                        .all_tokens = n * plan.layout.data,
                        .logit_rows = n,
                        .context = context,
                        .sequences = n,
                        .pairs = n * context};
  double sum = 0, most = 0;
  for (const GpuShare& stage : plan.stages) {
    const double t = seconds(plan, stage.work, step);
    sum += t;
    most = std::max(most, t);
  }
  return sequences / std::max(sum, parts * most);
}

double prefill_limit(const GroupPlan& plan, double tokens) {
  const StepExtent step{.tokens = tokens,
                        .all_tokens = tokens * plan.layout.data,
                        .logit_rows = 1,
                        .context = tokens / 2,
                        .sequences = 1,
                        .pairs = tokens * tokens / 2};
  double most = 0;
  for (const GpuShare& stage : plan.stages) most = std::max(most, seconds(plan, stage.work, step));
  return tokens * plan.layout.data / most;
}

}  // namespace polymath::plan
