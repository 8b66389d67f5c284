#include "model/slots.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace polymath::model {
namespace {

class SlotList {
 public:
  void vector(std::string name, int64_t n, int64_t groups = 1, std::vector<int64_t> pieces = {}) {
    if (pieces.empty()) pieces = {n};
    list.push_back({prefix + name, layer, {groups, n, 1, false}, std::move(pieces), true, false});
  }
  void matrix(std::string name, std::vector<int64_t> pieces, int64_t cols, int64_t groups = 1, bool glu = false) {
    int64_t rows = 0;
    for (const int64_t r : pieces) rows += r;
    list.push_back({prefix + name, layer, {groups, rows, cols, glu}, std::move(pieces), false, false});
  }

  std::vector<Slot> list;
  std::string prefix;
  int layer = -1;
};

void norm(SlotList& s, const ModelConfig& c, const std::string& name) {
  s.vector(name, c.hidden);
  if (c.norm_bias) s.vector(name + "_bias", c.hidden);
}

void grouped_query(SlotList& s, const ModelConfig& c, const AttentionConfig& a) {
  const int64_t q = static_cast<int64_t>(a.n_heads) * a.head_dim, kv = static_cast<int64_t>(a.n_kv_heads) * a.head_dim;
  s.matrix("qkv", {q, kv, kv}, c.hidden);
  if (a.qkv_bias) s.vector("qkv_bias", q + 2 * kv, 1, {q, kv, kv});
  if (a.qk_norm == QkNorm::kFull) {
    s.vector("q_norm", q);
    s.vector("k_norm", kv);
  } else if (a.qk_norm == QkNorm::kHead || a.qk_norm == QkNorm::kHeadAfter) {
    s.vector("q_norm", a.head_dim);
    s.vector("k_norm", a.head_dim);
  }
  if (a.sinks) s.vector("sinks", a.n_heads);
  s.matrix("attn_out", {c.hidden}, q);
}

void latent(SlotList& s, const ModelConfig& c, const AttentionConfig& a) {
  const int64_t q = static_cast<int64_t>(a.n_heads) * a.head_dim;
  const int64_t kv_a = a.kv_lora + a.rope.dims;
  if (a.q_lora > 0) {
    s.matrix("q_a_kv_a", {a.q_lora, kv_a}, c.hidden);
    s.vector("q_a_norm", a.q_lora);
    s.matrix("q_b", {q}, a.q_lora);
  } else {
    s.matrix("q_kv_a", {q, kv_a}, c.hidden);
  }
  s.vector("kv_a_norm", a.kv_lora);
  s.matrix("key_up", {a.kv_lora}, a.nope_dim, a.n_heads);
  s.matrix("value_up", {a.value_dim}, a.kv_lora, a.n_heads);
  s.matrix("attn_out", {c.hidden}, static_cast<int64_t>(a.n_heads) * a.value_dim);
}

void ffn(SlotList& s, const ModelConfig& c, const FfnConfig& f) {
  const std::string layer_prefix = s.prefix;
  s.prefix += f.role + ".";
  const int64_t experts = f.router.n_experts;
  if (!f.routing.empty() && f.routing != "hash") {
    s.matrix("router", {experts * std::max(1, f.slots)}, c.hidden);
    s.list.back().router = true;
    if (f.router_linear_bias) s.vector("router_bias", experts);
    if (f.selection_bias) s.vector("selection_bias", experts);
  }
  s.matrix("gate_up", {f.intermediate, f.intermediate}, c.hidden, experts, true);
  if (f.expert_bias) s.vector("gate_up_bias", 2 * f.intermediate, experts, {f.intermediate, f.intermediate});
  s.matrix("down", {c.hidden}, f.intermediate, experts);
  if (f.expert_bias) s.vector("down_bias", c.hidden, experts);
  s.prefix = layer_prefix;
}

}  // namespace

std::vector<Slot> slots(const ModelConfig& c) {
  SlotList s;
  s.matrix("embed", {c.vocab}, c.hidden);
  for (size_t l = 0; l < c.layers.size(); ++l) {
    const LayerConfig& layer = c.layers[l];
    s.layer = static_cast<int>(l);
    s.prefix = absl::StrCat("layer.", l, ".");
    norm(s, c, "attn_norm");
    if (layer.attention.kv_lora > 0) {
      latent(s, c, layer.attention);
    } else {
      grouped_query(s, c, layer.attention);
    }
    if (layer.attention.out_bias) s.vector("attn_out_bias", c.hidden);
    norm(s, c, "ffn_norm");
    for (const FfnConfig& f : layer.ffns) ffn(s, c, f);
  }
  s.layer = -1;
  s.prefix = "";
  norm(s, c, "final_norm");
  if (!c.tied_embeddings) s.matrix("lm_head", {c.vocab}, c.hidden);
  if (c.lm_head_bias) s.vector("lm_head_bias", c.vocab);
  return s.list;
}

}  // namespace polymath::model
