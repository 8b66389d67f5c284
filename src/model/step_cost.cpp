// What the last step had to read and compute at least: the numerators of a roofline.

#include "model/transformer.h"

namespace polymath::model {
namespace {

// `touched` of the weight's groups are read; every row meets one group (experts) or, with `all`, each (heads).
void add(Transformer::StepCost& cost, const quant::Weight& w, double rows, double touched, bool all = false) {
  if (w.empty()) return;
  const double groups = static_cast<double>(w.shape.groups);
  cost.weight_bytes += w.value_bytes() * touched / groups;
  cost.flops += 2.0 * static_cast<double>(w.shape.rows * w.shape.cols) * rows * (all ? groups : 1.0);
}

}  // namespace

void TransformerModel::add_attention_cost(int index, StepCost& cost) const {
  const Layer& layer = layers_[index];
  const backend::KvShape& kv = cache_->layer(index).shape;
  for (const auto* w : {&layer.qkv, &layer.q_b, &layer.attn_out}) add(cost, *w, last_tokens_, 1);
  for (const auto* w : {&layer.key_up, &layer.value_up})
    add(cost, *w, last_tokens_, static_cast<double>(w->shape.groups), true);
  cost.kv_bytes += last_context_ * static_cast<double>(backend_.kv_block_bytes(kv)) / kv.block_size;
  cost.flops += 2.0 * config_.layers[index].attention.n_heads * (kv.key_dim + kv.value_dim) * last_pairs_;
}

void TransformerModel::add_ffn_cost(const moe::MoeLayer& ffn, double rows, StepCost& cost) {
  add(cost, ffn.router, rows, 1);
  double touched = rows > 0 ? 1 : 0, pairs = rows;
  if (!ffn.load.empty()) {
    touched = pairs = 0;
    const int64_t first = load_begin(ffn);
    for (int64_t e = first; e < first + ffn.config.n_experts; ++e) {
      const int64_t added = load_host_[e] - seen_load_[e];
      seen_load_[e] = load_host_[e];
      pairs += static_cast<double>(added);
      touched += added > 0;
    }
  }
  for (const auto* w : {&ffn.gate_up, &ffn.down}) add(cost, *w, pairs, touched);
}

Transformer::StepCost TransformerModel::last_step_cost() {
  StepCost cost;
  read_load();
  seen_load_.resize(load_host_.size());
  for (size_t l = 0; l < layers_.size(); ++l) {
    add_attention_cost(static_cast<int>(l), cost);
    const double rows = l + 1 == layers_.size() ? last_logit_rows_ : last_tokens_;
    for (const auto& f : layers_[l].ffns) add_ffn_cost(*f, rows, cost);
  }
  add(cost, config_.tied_embeddings ? embed_ : lm_head_, last_logit_rows_, 1);
  return cost;
}

}  // namespace polymath::model
