#include "layers/attention_gqa.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "layers/config_check.h"

namespace polymath::layers {
namespace {

using backend::DType;
using backend::Tensor;

enum ScratchPart { kQkv, kOutput, kGates };

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
        gate_(b.linear("attn_gate")),
        out_(b.linear("attn_out", /*reduces=*/b.rank.size > 1 && !config.replicated())),
        params_(config.params()),
        qkv_params_(config.qkv_params()) {
    params_.sinks = b.vector("sinks");
    qkv_params_.eps = b.norm_eps;
    qkv_params_.q_norm = b.vector("q_norm");
    qkv_params_.k_norm = b.vector("k_norm");
    qkv_params_.rope.cos_sin = cos_sin;
    CHECK(qkv_.rows() == config.projected_q_width() + 2 * config.kv_width());
  }

  void run(const StepContext& ctx, const Tensor& x, const Tensor& h) const override {
    const int64_t n = x.rows(), width = config_.q_width() + 2 * config_.kv_width();
    const Tensor qkv = ctx.scratch.matrix(kQkv, DType::kF32, n, width);
    const Tensor out = ctx.scratch.matrix(kOutput, ctx.act, n, config_.q_width());
    Tensor projected = qkv;
    const bool with_gates = config_.output_gate == OutputGate::kWithQuery;
    if (with_gates) projected = ctx.scratch.matrix(kGates, DType::kF32, n, qkv_.rows());
    qkv_.run(ctx, x, {.clamp = config_.clip_qkv}, projected);
    if (with_gates) take_queries(ctx, projected, qkv);
    backend::QkvParams qkv_params = qkv_params_;
    if (config_.temperature.floor > 0) qkv_params.factors = ctx.query_factors;
    ctx.backend.attention_of_qkv({qkv_params, params_}, qkv, *ctx.kv, ctx.layout, out);
    gate_output(ctx, x, projected, out);
    out_.add_to(ctx, out, residual_scale_, h);
  }

  bool has_adapters() const { return !qkv_.adapters.empty(); }

  void add_cost(const StepExtent& extent, StepCost& cost) const override {
    for (const Linear* linear : {&qkv_, &gate_, &out_}) linear->add_cost(extent.tokens, cost);
    cost.flops += 2.0 * config_.n_heads * 2 * config_.head_dim * extent.pairs;
  }

 private:
  // Heads of query and gate alternate; keys and values follow.
  void take_queries(const StepContext& ctx, const Tensor& projected, const Tensor& qkv) const {
    const int dim = config_.head_dim;
    const int64_t q = config_.q_width(), kv = 2 * config_.kv_width();
    ctx.backend.copy_heads({config_.n_heads, dim, 2 * int64_t{dim}, dim}, projected.slice_cols(0, 2 * q),
                           qkv.slice_cols(0, q));
    ctx.backend.copy_heads({1, static_cast<int>(kv), kv, kv}, projected.slice_cols(2 * q, kv), qkv.slice_cols(q, kv));
  }

  void gate_output(const StepContext& ctx, const Tensor& x, const Tensor& projected, const Tensor& out) const {
    const int dim = config_.head_dim;
    if (config_.output_gate == OutputGate::kWithQuery) {
      const Tensor gates = projected.slice_cols(dim, projected.cols() - dim);
      ctx.backend.gate_heads({config_.n_heads, dim, 2 * int64_t{dim}}, gates, out);
    } else if (config_.output_gate == OutputGate::kApart) {
      const Tensor gates = ctx.scratch.matrix(kGates, DType::kF32, x.rows(), config_.q_width());
      gate_.run(ctx, x, {}, gates);
      ctx.backend.gate_heads({config_.n_heads, dim, dim}, gates, out);
    }
  }

  const GroupedQuery config_;
  const float residual_scale_;
  Linear qkv_, gate_, out_;
  backend::AttentionParams params_;
  backend::QkvParams qkv_params_;
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
  const parallel::Shard q_heads{q_parts() * heads.unit};
  const std::vector<Piece> qkv = {
      {projected_q_width(), q_heads, head_dim}, {kv_width(), heads, head_dim}, {kv_width(), heads}};
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
  if (output_gate == OutputGate::kApart) {
    s.matrix({.name = "attn_gate", .pieces = {{q_width(), heads}}, .cols = hidden});
  }
  s.matrix({.name = "attn_out", .pieces = {{hidden}}, .cols = q_width(), .cols_shard = heads});
  if (out_bias) s.vector("attn_out_bias", {{hidden}});
}

kvcache::CacheSpec GroupedQuery::cache() const {
  return {.paged = {.n_kv_heads = n_kv_heads, .key_dim = head_dim, .value_dim = head_dim}};
}

backend::QkvParams GroupedQuery::qkv_params() const {
  return {.n_heads = n_heads,
          .n_kv_heads = n_kv_heads,
          .head_dim = head_dim,
          .norm = norm_of(qk_norm),
          .rope = {.dims = rope.dims, .interleaved = rope.interleaved}};
}

void GroupedQuery::reserve(StepNeeds& needs) const {
  needs.at_least(kQkv, q_width() + 2 * kv_width());
  needs.at_least(kOutput, q_width());
  if (output_gate == OutputGate::kWithQuery) needs.at_least(kGates, projected_q_width() + 2 * kv_width());
  if (output_gate == OutputGate::kApart) needs.at_least(kGates, q_width());
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
  if (output_gate != OutputGate::kNone) absl::StrAppend(&out, ", output gate");
  return out;
}

}  // namespace polymath::layers
