#include "commands/model_facts.h"

#include <algorithm>

#include "model/slots.h"

namespace polymath::commands {
namespace {

// The share of a slot's weights that one token visits.
double active_share(const model::ModelConfig& config, const model::Slot& slot) {
  if (slot.layer < 0 || slot.shape.groups == 1) return 1;
  for (const model::FfnConfig& ffn : config.layers[static_cast<size_t>(slot.layer)].ffns) {
    const bool is_experts = slot.name.find("." + ffn.role + ".") != std::string::npos;
    if (is_experts && ffn.router.n_experts > 1) return static_cast<double>(ffn.router.top_k) / ffn.router.n_experts;
  }
  return 1;
}

}  // namespace

ModelFacts model_facts(const model::ModelConfig& config) {
  ModelFacts facts;
  for (const model::Slot& slot : model::slots(config)) {
    const int64_t elements = slot.shape.groups * slot.shape.rows * slot.shape.cols;
    facts.parameters += elements;
    // The embedding is a lookup; tied, it is also the output matrix.
    const bool is_lookup = slot.name == "embed" && !config.tied_embeddings;
    if (!is_lookup)
      facts.active_parameters += static_cast<int64_t>(active_share(config, slot) * static_cast<double>(elements));
  }
  for (const model::LayerConfig& layer : config.layers) {
    const backend::KvShape kv = layers::cache(layer.attention).paged;
    facts.kv_elements_per_token += kv.n_kv_heads * (kv.key_dim + (kv.latent ? 0 : kv.value_dim));
    const bool routed =
        std::any_of(layer.ffns.begin(), layer.ffns.end(), [](const auto& f) { return !f.routing.empty(); });
    facts.moe_layers += routed ? 1 : 0;
  }
  return facts;
}

}  // namespace polymath::commands
