#include "model/step_memory.h"

#include <algorithm>

#include "layers/moe_layer.h"
#include "model/step_inputs.h"

namespace polymath::model {

StepMemory step_memory(const ModelConfig& config, parallel::Rank rank, const backend::StepLimits& given,
                       const KeptTypes& kept) {
  layers::StepNeeds needs{.limits = given};
  backend::StepLimits& limits = needs.limits;
  if (limits.logit_rows_max == 0) limits.logit_rows_max = given.tokens_max;
  limits.logits_max = rank.stage.last() ? static_cast<int64_t>(limits.logit_rows_max) * config.vocab : 0;
  limits.expert_io_max = config.hidden;
  StepMemory step;
  for (size_t l = 0; l < config.layers.size(); ++l) {
    const LayerConfig& layer = config.layers[l];
    layers::reserve(layer.attention, needs);
    for (size_t b = 0; b < layer.ffns.size(); ++b) {
      const FfnConfig& ffn = layer.ffns[b];
      ffn.reserve(needs);
      step.router_width = std::max(step.router_width, ffn.router_width());
      limits.experts.push_back(ffn.expert_shape(given.tokens_max, config.hidden, kept.experts(l, b)));
    }
  }
  limits.hidden_max = std::max<int64_t>(config.hidden, *std::max_element(needs.scratch.begin(), needs.scratch.end()));
  limits.packed_linear_max = kept.packed_linear_max;
  step.limits = limits;
  step.scratch = needs.scratch;
  if (!rank.stage.last()) return step;
  step.result_sets = kept.on_host ? rank.stage.size : 1;
  step.head_rows =
      config.tied_embeddings ? config.vocab : parallel::slice_of(config.vocab, {config.vocab_unit()}, rank).count;
  return step;
}

std::vector<backend::BufferSize<Activations>> activation_sizes(const ModelConfig& config, const StepMemory& step) {
  const auto n = static_cast<size_t>(step.limits.tokens_max), rows = static_cast<size_t>(step.limits.logit_rows_max);
  const bool has_head = step.head_rows > 0;
  const auto hidden = static_cast<size_t>(config.hidden), vocab = static_cast<size_t>(config.vocab);
  const auto head_rows = static_cast<size_t>(step.head_rows);
  using A = Activations;
  return {{&A::h, n * hidden * sizeof(float)},
          {&A::branch, config.post_norms ? n * hidden * sizeof(float) : 0},
          {&A::gathered, has_head ? n * hidden * sizeof(float) : 0},
          {&A::x, n * hidden * sizeof(float)},
          {&A::logits, has_head ? static_cast<size_t>(step.result_sets) * rows * vocab * sizeof(float) : 0},
          {&A::gathered_tokens, has_head ? n * sizeof(int32_t) : 0},
          {&A::sampled, rows * sizeof(int32_t)},
          {&A::local_logits, head_rows < vocab ? rows * head_rows * sizeof(float) : 0}};
}

size_t step_bytes(const ModelConfig& config, const StepMemory& step, const layers::AdapterLimits& adapters,
                  const backend::Backend& backend) {
  const backend::StepLimits& limits = step.limits;
  size_t bytes = backend::bytes_of(activation_sizes(config, step)) +
                 layers::Scratch::bytes(step.scratch, limits.tokens_max) + StepInputs::bytes(limits) +
                 layers::MoeScratch::bytes(limits.tokens_max, limits.pairs_max, step.router_width) +
                 backend.reserve_bytes(limits);
  if (adapters.n_adapters > 0) bytes += layers::AdapterStep::bytes(adapters, limits.tokens_max);
  for (const auto& layer : config.layers) {
    for (const FfnConfig& ffn : layer.ffns) bytes += layers::MoeLayer::slot_bytes(ffn, config.hidden);
  }
  return bytes;
}

}  // namespace polymath::model
