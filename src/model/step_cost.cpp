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
  for (const auto* w : {&layer.qkv, &layer.q, &layer.q_a, &layer.q_b, &layer.kv_a, &layer.attn_out})
    add(cost, *w, last_tokens_, 1);
  for (const auto* w : {&layer.key_up, &layer.value_up})
    add(cost, *w, last_tokens_, static_cast<double>(w->shape.groups), true);
  cost.kv_bytes += last_context_ * static_cast<double>(backend_.kv_block_bytes(kv)) / kv.block_size;
  cost.flops += 2.0 * config_.layers[index].attention.n_heads * (kv.key_dim + kv.value_dim) * last_pairs_;
}

void TransformerModel::add_ffn_cost(const moe::MoeLayer& ffn, std::vector<int64_t>& seen, double rows,
                                    StepCost& cost) const {
  add(cost, ffn.router, rows, 1);
  double touched = rows > 0 ? 1 : 0, pairs = rows;
  if (!ffn.load.empty()) {
    touched = pairs = 0;
    for (int e = 0; e < ffn.config.n_experts; ++e) {
      const int64_t now = ffn.load.as<int64_t>()[e], added = now - seen[e];
      seen[e] = now;
      pairs += static_cast<double>(added);
      touched += added > 0;
    }
  }
  for (const auto* w : {&ffn.gate_up, &ffn.down}) add(cost, *w, pairs, touched);
}

Transformer::StepCost TransformerModel::last_step_cost() {
  StepCost cost;
  size_t counted = 0;
  for (size_t l = 0; l < layers_.size(); ++l) {
    add_attention_cost(static_cast<int>(l), cost);
    const double rows = l + 1 == layers_.size() ? last_logit_rows_ : last_tokens_;
    for (const auto& f : layers_[l].ffns) {
      if (seen_load_.size() <= counted) seen_load_.emplace_back(static_cast<size_t>(f->config.n_experts));
      add_ffn_cost(*f, seen_load_[counted++], rows, cost);
    }
  }
  add(cost, config_.tied_embeddings ? embed_ : lm_head_, last_logit_rows_, 1);
  return cost;
}

}  // namespace polymath::model
