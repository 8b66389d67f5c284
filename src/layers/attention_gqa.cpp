#include "layers/attention_gqa.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "layers/config_check.h"

namespace polymath::layers {
namespace {

using backend::DType;
using backend::Tensor;

enum ScratchPart { kQkv, kOutput };

backend::QkvNorm norm_of(QkNorm norm) {
  switch (norm) {
    case QkNorm::kNone:
      return backend::QkvNorm::kNone;
    case QkNorm::kHead:
      return backend::QkvNorm::kHead;
    case QkNorm::kFull:
      return backend::QkvNorm::kWhole;
    default:
      return backend::QkvNorm::kHeadAfter;
  }
}

class GroupedQueryLayer : public AttentionLayer {
 public:
  GroupedQueryLayer(const GroupedQuery& config, const LayerBuilder& b, const float* cos_sin)
      : config_(config),
        residual_scale_(b.residual_scale),
        qkv_(b.linear("qkv")),
        out_(b.linear("attn_out", /*reduces=*/b.rank.size > 1 && !config.replicated())),
        params_(config.params()),
        qkv_params_{.n_heads = config.n_heads,
                    .n_kv_heads = config.n_kv_heads,
                    .head_dim = config.head_dim,
                    .norm = norm_of(config.qk_norm),
                    .eps = b.norm_eps,
                    .q_norm = b.vector("q_norm"),
                    .k_norm = b.vector("k_norm"),
                    .rope = {.cos_sin = cos_sin, .dims = config.rope.dims, .interleaved = config.rope.interleaved}} {
    params_.sinks = b.vector("sinks");
    CHECK(qkv_.weight.shape.rows == config.q_width() + 2 * config.kv_width());
  }

  void run(const StepContext& ctx, const Tensor& x, const Tensor& h) const override {
    const Tensor qkv = ctx.scratch.matrix(kQkv, DType::kF32, x.rows(), qkv_.weight.shape.rows);
    const Tensor out = ctx.scratch.matrix(kOutput, ctx.act, x.rows(), config_.q_width());
    qkv_.run(ctx, x, {.clamp = config_.clip_qkv}, qkv);
    backend::QkvParams qkv_params = qkv_params_;
    if (config_.temperature.floor > 0) qkv_params.factors = ctx.query_factors;
    ctx.backend.attention_of_qkv(qkv_params, params_, qkv, *ctx.kv, ctx.layout, out);
    out_.add_to(ctx, out, residual_scale_, h);
  }

  bool has_adapters() const { return !qkv_.adapters.empty(); }

  void add_cost(const StepExtent& extent, StepCost& cost) const override {
    cost.add_weight(qkv_.weight, extent.tokens);
    cost.add_weight(out_.weight, extent.tokens);
    cost.flops += 2.0 * config_.n_heads * 2 * config_.head_dim * extent.pairs;
  }

 private:
  const GroupedQuery config_;
  const float residual_scale_;
  Linear qkv_, out_;
  backend::AttentionParams params_;
  const backend::QkvParams qkv_params_;
};

}  // namespace

absl::Status GroupedQuery::check() const {
  RETURN_IF_ERROR(check_range("the number of attention heads", n_heads, 1, 65536));
  RETURN_IF_ERROR(check_range("the number of key-value heads", n_kv_heads, 1, n_heads));
  RETURN_IF_ERROR(check_range("head_dim", head_dim, 1, 65536));
  RETURN_IF_ERROR(check_range("the rotated part of a head", rope.dims, 0, head_dim));
  if (n_heads % n_kv_heads != 0) {
    return absl::InvalidArgumentError("config.json: the attention heads do not divide by the key-value heads");
  }
  if (rope.dims % 2 != 0) return absl::InvalidArgumentError("config.json: the rotated part of a head must be even");
  if (!(scale > 0)) return absl::InvalidArgumentError("config.json: the attention scale must be positive");
  RETURN_IF_ERROR(check_range("sliding_window", window, 0, 1 << 30));
  return check_range("attention_chunk_size", chunk, 0, 1 << 30);
}

void GroupedQuery::add_slots(SlotList& s, int64_t hidden) const {
  const parallel::Shard heads{replicated() ? 0 : head_dim};
  const std::vector<Piece> qkv = {{q_width(), heads}, {kv_width(), heads}, {kv_width(), heads}};
  s.matrix({.name = "qkv", .pieces = qkv, .cols = hidden});
  if (qkv_bias) s.vector("qkv_bias", qkv);
  if (qk_norm == QkNorm::kFull) {
    s.vector("q_norm", {{q_width()}});
    s.vector("k_norm", {{kv_width()}});
  } else if (qk_norm == QkNorm::kHead || qk_norm == QkNorm::kHeadAfter) {
    s.vector("q_norm", {{head_dim}});
    s.vector("k_norm", {{head_dim}});
  }
  if (sinks) s.vector("sinks", {{n_heads, {replicated() ? 0 : 1}}});
  s.matrix({.name = "attn_out", .pieces = {{hidden}}, .cols = q_width(), .cols_shard = heads});
  if (out_bias) s.vector("attn_out_bias", {{hidden}});
}

kvcache::CacheSpec GroupedQuery::cache() const {
  return {.paged = {.n_kv_heads = n_kv_heads, .key_dim = head_dim, .value_dim = head_dim}};
}

void GroupedQuery::reserve(StepNeeds& needs) const {
  needs.at_least(kQkv, q_width() + 2 * kv_width());
  needs.at_least(kOutput, q_width());
  needs.limits.attention_max = std::max(needs.limits.attention_max, q_width());
  needs.limits.key_dim_max = std::max(needs.limits.key_dim_max, head_dim);
}

absl::Status GroupedQuery::split(parallel::Rank rank) {
  if (replicated()) return absl::OkStatus();
  RETURN_IF_ERROR(check_split("attention heads", n_heads, rank.size));
  if (!parallel::divides(n_kv_heads, rank)) return check_split("key-value heads", n_kv_heads, rank.size);
  n_heads /= rank.size;
  n_kv_heads = std::max(1, n_kv_heads / rank.size);
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<AttentionLayer>> GroupedQuery::make(const LayerBuilder& builder) const {
  ASSIGN_OR_RETURN(const float* cos_sin, builder.weights.rope_table(rope));
  auto layer = std::make_unique<GroupedQueryLayer>(*this, builder, cos_sin);
  if (clip_qkv > 0 && layer->has_adapters()) {
    return absl::UnimplementedError("adapters of a model that clips q, k and v are not built yet");
  }
  return layer;
}

std::string GroupedQuery::text() const {
  std::string out = n_kv_heads == n_heads
                        ? absl::StrCat("MHA, ", n_heads, " heads of ", head_dim)
                        : absl::StrCat("GQA, ", n_heads, " heads over ", n_kv_heads, " of ", head_dim);
  if (window > 0) absl::StrAppend(&out, ", window ", window);
  if (chunk > 0) absl::StrAppend(&out, ", chunk ", chunk);
  if (sinks) absl::StrAppend(&out, ", sinks");
  return out;
}

}  // namespace polymath::layers
