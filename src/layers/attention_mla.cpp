#include "layers/attention_mla.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "layers/config_check.h"

namespace polymath::layers {
namespace {

using backend::DType;
using backend::Tensor;

enum ScratchPart { kProjected, kOutput, kQuery, kFullQuery, kLatents };

class LatentLayer : public AttentionLayer {
 public:
  LatentLayer(const Latent& config, const LayerBuilder& b, const float* cos_sin)
      : config_(config),
        residual_scale_(b.residual_scale),
        q_kv_a_(b.linear(config.q_lora > 0 ? "q_a_kv_a" : "q_kv_a")),
        q_b_(b.linear("q_b")),
        out_(b.linear("attn_out", /*reduces=*/b.rank.size > 1)),
        key_up_(b.matrix("key_up")),
        value_up_(b.matrix("value_up")),
        q_a_norm_(b.vector("q_a_norm")),
        latent_params_(config.latent_params()) {
    latent_params_.kv_norm = b.vector("kv_a_norm");
    latent_params_.rope.cos_sin = cos_sin;
    CHECK(q_kv_a_.rows() == config.x_width() && key_up_.shape.groups == config.n_heads);
  }

  void run(const StepContext& ctx, const Tensor& x, const Tensor& h) const override {
    const int64_t n = x.rows(), heads = config_.n_heads, key_dim = config_.key_dim();
    const int64_t x_q_width = config_.x_width() - key_dim;
    const Tensor projected = ctx.scratch.matrix(kProjected, DType::kF32, n, config_.x_width());
    q_kv_a_.run(ctx, x, {}, projected);
    Tensor q = projected.slice_cols(0, x_q_width);
    if (config_.q_lora > 0) {
      ctx.backend.norm({.eps = config_.norm_eps, .weight = q_a_norm_}, q, q);
      const Tensor up = ctx.scratch.matrix(kQuery, DType::kF32, n, config_.q_width());
      q_b_.run(ctx, q, {}, up);
      q = up;
    }
    if (config_.temperature.floor > 0) {
      ctx.backend.scale_rows({DType::kF32, {n}, const_cast<float*>(ctx.query_factors)}, q);
    }
    const Tensor full = ctx.scratch.matrix(kFullQuery, DType::kF32, n, heads * key_dim);
    const Tensor k = projected.slice_cols(x_q_width, key_dim);
    ctx.backend.prepare_latent(latent_params_, ctx.layout, {q, k, full}, key_up_, *ctx.kv);
    const Tensor latents = ctx.scratch.matrix(kLatents, ctx.act, n, heads * config_.kv_lora);
    ctx.backend.attention(config_.params(), full, *ctx.kv, ctx.layout, latents);
    const Tensor out = ctx.scratch.matrix(kOutput, ctx.act, n, heads * config_.value_dim);
    ctx.backend.batched_linear(latents, config_.kv_lora, value_up_, config_.value_dim, out);
    out_.add_to(ctx, out, residual_scale_, h);
  }

  void add_cost(const StepExtent& extent, StepCost& cost) const override {
    for (const Linear* linear : {&q_kv_a_, &q_b_, &out_}) linear->add_cost(extent.tokens, cost);
    cost.add_heads(key_up_, extent.tokens);
    cost.add_heads(value_up_, extent.tokens);
    cost.flops += 2.0 * config_.n_heads * (config_.key_dim() + config_.kv_lora) * extent.pairs;
  }

 private:
  const Latent config_;
  const float residual_scale_;
  Linear q_kv_a_, q_b_, out_;
  quant::Weight key_up_, value_up_;  // of each head
  const float* q_a_norm_;
  backend::LatentParams latent_params_;
};

}  // namespace

absl::Status Latent::check() const {
  RETURN_IF_ERROR(check_range("the number of attention heads", n_heads, 1, 65536));
  RETURN_IF_ERROR(check_range("kv_lora_rank", kv_lora, 1, kWidthMax));
  RETURN_IF_ERROR(check_range("q_lora_rank", q_lora, 0, kWidthMax));
  RETURN_IF_ERROR(check_range("qk_nope_head_dim", nope_dim, 1, 65536));
  RETURN_IF_ERROR(check_range("qk_rope_head_dim", rope.dims, 0, 65536));
  RETURN_IF_ERROR(check_range("v_head_dim", value_dim, 1, 65536));
  if (rope.dims % 2 != 0) return absl::InvalidArgumentError("config.json: the rotated part of a head must be even");
  if (!(norm_eps > 0)) return absl::InvalidArgumentError("config.json: the norm's epsilon must be positive");
  if (!(scale > 0)) return absl::InvalidArgumentError("config.json: the attention scale must be positive");
  return absl::OkStatus();
}

void Latent::add_slots(SlotList& s, int64_t hidden) const {
  const parallel::Shard q_heads{head_dim()}, heads{1};
  if (q_lora > 0) {
    s.matrix({.name = "q_a_kv_a", .pieces = {{q_lora}, {key_dim()}}, .cols = hidden});
    s.vector("q_a_norm", {{q_lora}});
    s.matrix({.name = "q_b", .pieces = {{q_width(), q_heads}}, .cols = q_lora});
  } else {
    s.matrix({.name = "q_kv_a", .pieces = {{q_width(), q_heads}, {key_dim()}}, .cols = hidden});
  }
  s.vector("kv_a_norm", {{kv_lora}});
  // Checkpoints hold both in one tensor: each head's keys, then its values.
  const int64_t stored_rows = nope_dim + value_dim;
  s.matrix({.name = "key_up",
            .pieces = {{kv_lora}},
            .cols = nope_dim,
            .groups = n_heads,
            .groups_shard = heads,
            .use = quant::WeightUse::kHeads,
            .stored = {.group_rows = stored_rows}});
  s.matrix({.name = "value_up",
            .pieces = {{value_dim}},
            .cols = kv_lora,
            .groups = n_heads,
            .groups_shard = heads,
            .use = quant::WeightUse::kHeads,
            .stored = {.group_rows = stored_rows, .first_row = nope_dim}});
  s.matrix({.name = "attn_out",
            .pieces = {{hidden}},
            .cols = static_cast<int64_t>(n_heads) * value_dim,
            .cols_shard = {value_dim}});
}

kvcache::CacheSpec Latent::cache() const {
  return {.paged = {.n_kv_heads = 1, .key_dim = key_dim(), .value_dim = kv_lora, .latent = true}};
}

backend::LatentParams Latent::latent_params() const {
  return {.n_heads = n_heads,
          .nope_dim = nope_dim,
          .kv_lora = kv_lora,
          .eps = norm_eps,
          .rope = {.dims = rope.dims, .interleaved = rope.interleaved}};
}

void Latent::reserve(StepNeeds& needs) const {
  const int64_t heads = n_heads;
  needs.at_least(kProjected, x_width());
  needs.at_least(kOutput, heads * value_dim);
  if (q_lora > 0) needs.at_least(kQuery, q_width());
  needs.at_least(kFullQuery, heads * key_dim());
  needs.at_least(kLatents, heads * kv_lora);
  needs.limits.attention_max = std::max(needs.limits.attention_max, heads * key_dim());
  needs.limits.key_dim_max = std::max(needs.limits.key_dim_max, key_dim());
}

absl::Status Latent::split(parallel::Rank rank) {
  RETURN_IF_ERROR(check_split("attention heads", n_heads, rank.size));
  n_heads /= rank.size;
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<AttentionLayer>> Latent::make(const LayerBuilder& builder) const {
  ASSIGN_OR_RETURN(const float* cos_sin, builder.weights.rope_table(rope));
  return std::make_unique<LatentLayer>(*this, builder, cos_sin);
}

std::string Latent::text() const {
  return absl::StrCat("MLA, ", n_heads, " heads, latent ", kv_lora, " + ", rope.dims);
}

}  // namespace polymath::layers
