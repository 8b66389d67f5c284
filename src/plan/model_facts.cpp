#include "plan/model_facts.h"

#include <algorithm>
#include <variant>

#include "model/slots.h"

namespace polymath::plan {
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

// Key and value of every query head. A recurrence has none.
int64_t mha_elements(const model::AttentionConfig& attention) {
  if (const auto* gqa = std::get_if<model::GroupedQuery>(&attention)) return 2 * gqa->q_width();
  if (const auto* mla = std::get_if<model::Latent>(&attention)) {
    return static_cast<int64_t>(mla->n_heads) * (mla->head_dim() + mla->value_dim);
  }
  return 0;
}

void add_layer(const model::LayerConfig& layer, int64_t hidden, ModelFacts& facts) {
  const backend::KvShape kv = layers::cache(layer.attention).paged;
  const int64_t elements = kv.n_kv_heads * (kv.key_dim + (kv.latent ? 0 : kv.value_dim));
  facts.kv_elements_per_token += elements;
  facts.mha_elements_per_token += mha_elements(layer.attention);
  const auto params = layers::params(layer.attention);
  if (params && (params->window > 0 || params->chunk > 0)) facts.kv_elements_windowed += elements;
  bool routed = false;
  for (const model::FfnConfig& ffn : layer.ffns) {
    routed = routed || !ffn.routing.empty();
    if (ffn.router.n_experts > 1) {
      facts.expert_parameters = std::max(facts.expert_parameters, 3 * hidden * ffn.intermediate);
    }
  }
  facts.moe_layers += routed ? 1 : 0;
}

}  // namespace

ModelFacts model_facts(const model::ModelConfig& config) {
  ModelFacts facts;
  for (const model::Slot& slot : model::slots(config)) {
    const int64_t elements = slot.shape.groups * slot.shape.rows * slot.shape.cols;
    facts.parameters += elements;
    if (slot.experts) facts.routed += elements;
    if (slot.name == "embed") facts.embedding = elements;
    const auto active = static_cast<int64_t>(active_share(config, slot) * static_cast<double>(elements));
    facts.active_with_embedding += active;
    // The embedding is a lookup; tied, it is also the output matrix.
    if (slot.name != "embed" || config.tied_embeddings) facts.active_parameters += active;
  }
  for (const model::LayerConfig& layer : config.layers) add_layer(layer, config.hidden, facts);
  return facts;
}

}  // namespace polymath::plan
