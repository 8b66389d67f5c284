#include "model/expert_counters.h"

#include <algorithm>

namespace polymath::model {

using tensor::DType;

size_t ExpertCounters::bytes(const ModelConfig& config) {
  size_t n = 0;
  for (const LayerConfig& layer : config.layers) {
    for (const FfnConfig& ffn : layer.ffns)
      n += ffn.router.n_experts > 1 ? static_cast<size_t>(ffn.router.n_experts) : 0;
  }
  return 2 * n * sizeof(int64_t);
}

absl::Status ExpertCounters::attach(backend::Backend& backend, const std::vector<layers::FeedForward*>& layers,
                                    const parallel::Stage& stage) {
  stage_ = stage;
  size_t n = 0;
  for (size_t l = 0; l < layers.size(); ++l) {
    for (const auto& block : layers[l]->blocks()) {
      const int experts = block->config.n_experts;
      if (experts <= 1) continue;
      blocks_.push_back({static_cast<int>(l), block.get(), n, static_cast<size_t>(experts)});
      n += 2 * static_cast<size_t>(experts);
    }
  }
  seconds_.resize(layers.size());
  totals_.resize(blocks_.size(), {.on_host = backend.memory_available() < 0});
  if (n == 0) return absl::OkStatus();
  host_.resize(n);
  seen_.resize(n);
  ASSIGN_OR_RETURN(device_, backend.allocate(n * sizeof(int64_t)));
  size_t i = 0;
  for (auto* layer : layers) {
    for (const auto& block : layer->blocks()) {
      if (block->config.n_experts <= 1) continue;
      const Counted& c = blocks_[i];
      block->load = {DType::kI64, {2, static_cast<int64_t>(c.n)}, static_cast<int64_t*>(device_.data()) + c.begin};
      block->totals = &totals_[i++];
    }
  }
  return absl::OkStatus();
}

std::vector<Model::ExpertLoad> ExpertCounters::read(backend::Backend& backend) {
  std::vector<Model::ExpertLoad> out;
  if (host_.empty()) return out;
  backend.copy_out(host_.data(), {DType::kI64, {static_cast<int64_t>(host_.size())}, device_.data()});
  for (size_t i = 0; i < blocks_.size(); ++i) {
    const Counted& c = blocks_[i];
    const bool last = stage_.last() && static_cast<size_t>(c.layer) + 1 == seconds_.size();
    Model::ExpertLoad& load = out.emplace_back();
    load.layer = stage_.first_layer + c.layer;
    load.pairs = {host_.data() + c.begin, c.n};
    load.steps = {host_.data() + c.begin + c.n, c.n};
    load.n_steps = last ? n_logit_steps_ : n_steps_;
    load.experts_per_rank = static_cast<int>(c.block->mine.count);
    load.placement = c.block->placement;
    load.n_tokens = totals_[i].n_tokens;
    load.n_dropped = totals_[i].n_dropped;
    if (!totals_[i].on_host) continue;
    load.seconds = seconds_[static_cast<size_t>(c.layer)];
    load.top_shares = totals_[i].top_shares;
  }
  return out;
}

ExpertCounters::Touched ExpertCounters::since_last(const layers::MoeLayer& block) {
  Touched touched;
  const auto at = std::find_if(blocks_.begin(), blocks_.end(), [&](const Counted& c) { return c.block == &block; });
  CHECK(at != blocks_.end());
  for (size_t e = at->begin; e < at->begin + at->n; ++e) {
    const int64_t added = host_[e] - seen_[e];
    seen_[e] = host_[e];
    touched.pairs += static_cast<double>(added);
    touched.experts += added > 0;
  }
  return touched;
}

}  // namespace polymath::model
