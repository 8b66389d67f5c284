#include "model/transformer.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"

namespace polymath::model {

using backend::KvLayer;
using backend::LinearEpilogue;
using tensor::DType;
using tensor::Tensor;

struct TransformerModel::Step {
  int64_t n = 0;        // rows of h: tokens, then logit rows in the last layer's feed-forward
  Tensor tokens, h, x;  // ids [n], residual f32 [n, hidden], normed act [n, hidden]
  Tensor logit_rows;
  bool gathers = false;  // fewer logits are wanted than there are tokens
  backend::StepLayout layout;
};

TransformerModel::Step TransformerModel::begin(const Batch& batch) {
  const int64_t n = batch.n_tokens(), seqs = batch.n_seqs(), rows = static_cast<int64_t>(batch.logit_rows.size());
  CHECK(cache_ != nullptr && n >= 1 && n <= limits_.tokens_max && seqs >= 1 && seqs <= limits_.seqs_max);
  CHECK(rows <= limits_.logit_rows_max);
  CHECK(batch.block_table_width >= 1 && batch.block_table_width <= limits_.blocks_max);
  auto& b = act_buffers_;
  const auto put = [&](std::span<const int32_t> from, const tensor::Buffer& to, tensor::Shape shape) {
    const Tensor t{DType::kI32, shape, to.data()};
    CHECK(t.shape.elements() == static_cast<int64_t>(from.size()));
    if (!from.empty()) backend_.copy_in(t, from.data());
    return t;
  };
  Step s;
  s.n = n;
  s.tokens = put(batch.tokens, b.tokens, {n});
  s.logit_rows = put(batch.logit_rows, b.logit_rows, {rows});
  s.gathers = rows < n;
  s.layout = {static_cast<int>(n),
              static_cast<int>(seqs),
              put(batch.positions, b.positions, {n}),
              put(batch.slots, b.slots, {n}),
              put(batch.query_start, b.query_start, {seqs + 1}),
              put(batch.kv_len, b.kv_len, {seqs}),
              put(batch.block_table, b.block_table, {seqs, batch.block_table_width})};
  s.h = {DType::kF32, {n, config_.hidden}, b.h.data()};
  s.x = {act_, {n, config_.hidden}, b.x.data()};
  last_tokens_ = static_cast<int>(n);
  last_logit_rows_ = static_cast<int>(rows);
  last_context_ = last_pairs_ = 0;
  for (int64_t i = 0; i < seqs; ++i) {
    const double queries = batch.query_start[i + 1] - batch.query_start[i], keys = batch.kv_len[i];
    last_context_ += keys;
    last_pairs_ += queries * (keys - (queries - 1) / 2);
  }
  return s;
}

backend::NormParams TransformerModel::norm_params(const float* weight, const float* bias) const {
  return {config_.layer_norm ? backend::NormKind::kLayer : backend::NormKind::kRms, config_.norm_eps, 1, weight, bias};
}

void TransformerModel::rotate(const Layer& layer, const AttentionConfig& a, const Step& step, const float* norm,
                              const Tensor& x) {
  const int heads = static_cast<int>(x.cols()) / a.head_dim;
  const bool before = a.qk_norm == QkNorm::kHead || a.qk_norm == QkNorm::kFull;
  const bool after = a.qk_norm == QkNorm::kHeadAfter || a.qk_norm == QkNorm::kL2After;
  const backend::NormParams params{
      .eps = config_.norm_eps, .segments = a.qk_norm == QkNorm::kFull ? 1 : heads, .weight = norm};
  if (before) backend_.norm(params, x, x);
  if (layer.cos_sin != nullptr) {
    backend_.rope({layer.cos_sin, a.rope.dims, a.rope.interleaved, heads, a.head_dim, 0}, step.layout.positions, x);
  }
  if (after) backend_.norm(params, x, x);
}

void TransformerModel::attend(int index, Step& step) {
  const Layer& layer = layers_[index];
  const AttentionConfig& a = config_.layers[index].attention;
  const int64_t q_width = static_cast<int64_t>(a.n_heads) * a.head_dim,
                kv_width = static_cast<int64_t>(a.n_kv_heads) * a.head_dim;
  const Tensor qkv{DType::kF32, {step.n, q_width + 2 * kv_width}, act_buffers_.qkv.data()};
  backend_.linear(step.x, layer.qkv, {.bias = layer.qkv_bias, .clamp = a.clip_qkv}, qkv);
  const Tensor q = qkv.slice_cols(0, q_width), k = qkv.slice_cols(q_width, kv_width),
               v = qkv.slice_cols(q_width + kv_width, kv_width);
  rotate(layer, a, step, layer.q_norm, q);
  rotate(layer, a, step, layer.k_norm, k);
  if (a.temperature_floor > 0) {
    backend_.scale_rows({DType::kF32, {step.n}, act_buffers_.temperature.data()}, q);
  }
  const KvLayer& kv = cache_->layer(index);
  backend_.kv_write(kv, k, v, step.layout.slots);
  const Tensor out{act_, {step.n, q_width}, act_buffers_.attention.data()};
  backend_.attention({a.n_heads, a.scale, a.window, a.chunk, layer.sinks}, q, kv, step.layout, out);
  backend_.linear(out, layer.attn_out,
                  {.bias = layer.attn_out_bias, .accumulate = true, .scale = config_.residual_scale}, step.h);
}

// MLA in its absorbed form: queries are carried into the latent space, so that the cache is read as it is.
void TransformerModel::attend_latent(int index, Step& step) {
  const Layer& layer = layers_[index];
  const AttentionConfig& a = config_.layers[index].attention;
  const int64_t n = step.n, key_dim = a.kv_lora + a.rope.dims;
  const Tensor q{DType::kF32, {n, static_cast<int64_t>(a.n_heads) * a.head_dim}, act_buffers_.qkv.data()};
  if (a.q_lora > 0) {
    const Tensor low{DType::kF32, {n, a.q_lora}, act_buffers_.q_low.data()};
    backend_.linear(step.x, layer.q_a, {}, low);
    backend_.norm({.eps = config_.norm_eps, .weight = layer.q_a_norm}, low, low);
    backend_.linear(low, layer.q_b, {}, q);
  } else {
    backend_.linear(step.x, layer.q, {}, q);
  }
  backend_.rope({layer.cos_sin, a.rope.dims, a.rope.interleaved, a.n_heads, a.head_dim, a.nope_dim},
                step.layout.positions, q);

  const Tensor full{DType::kF32, {n, a.n_heads * key_dim}, act_buffers_.q_full.data()};
  backend_.batched_linear(q, a.head_dim, layer.key_up, key_dim, full);
  backend_.copy_heads(a.n_heads, a.rope.dims, q.slice_cols(a.nope_dim, q.cols() - a.nope_dim), a.head_dim,
                      full.slice_cols(a.kv_lora, full.cols() - a.kv_lora), key_dim);

  // The queries are done with `qkv`: the latent keys take its place.
  const Tensor k{DType::kF32, {n, key_dim}, act_buffers_.qkv.data()};
  backend_.linear(step.x, layer.kv_a, {}, k);
  const Tensor latent = k.slice_cols(0, a.kv_lora);
  backend_.norm({.eps = config_.norm_eps, .weight = layer.kv_a_norm}, latent, latent);
  backend_.rope({layer.cos_sin, a.rope.dims, a.rope.interleaved, 1, static_cast<int>(key_dim), a.kv_lora},
                step.layout.positions, k);
  const KvLayer& kv = cache_->layer(index);
  backend_.kv_write(kv, k, {}, step.layout.slots);

  const Tensor latents{act_, {n, static_cast<int64_t>(a.n_heads) * a.kv_lora}, act_buffers_.latent_out.data()};
  backend_.attention({a.n_heads, a.scale, a.window, a.chunk, nullptr}, full, kv, step.layout, latents);
  const Tensor out{act_, {n, static_cast<int64_t>(a.n_heads) * a.value_dim}, act_buffers_.attention.data()};
  backend_.batched_linear(latents, a.kv_lora, layer.value_up, a.value_dim, out);
  backend_.linear(out, layer.attn_out,
                  {.bias = layer.attn_out_bias, .accumulate = true, .scale = config_.residual_scale}, step.h);
}

void TransformerModel::run_layer(int index, Step& step) {
  const Layer& layer = layers_[index];
  backend_.norm(norm_params(layer.attn_norm, layer.attn_norm_bias), step.h, step.x);
  if (config_.layers[index].attention.kv_lora > 0) {
    attend_latent(index, step);
  } else {
    attend(index, step);
  }
  const bool last = index + 1 == static_cast<int>(layers_.size());
  if (last && step.gathers) {  // past the last attention only the rows whose logits are wanted matter
    const int64_t rows = step.logit_rows.shape[0];
    const Tensor h{DType::kF32, {rows, config_.hidden}, act_buffers_.gathered.data()};
    const Tensor tokens{DType::kI32, {rows}, act_buffers_.gathered_tokens.data()};
    if (rows > 0) {
      backend_.gather_rows(step.h, step.logit_rows, h);
      // Ids are gathered as the f32 bits that they are not: a copy, no arithmetic.
      backend_.gather_rows({DType::kF32, {step.n, 1}, step.tokens.data}, step.logit_rows,
                           {DType::kF32, {rows, 1}, tokens.data});
    }
    step.n = rows;
    step.h = h;
    step.tokens = tokens;
    step.x = {act_, {rows, config_.hidden}, step.x.data};
  }
  if (step.n == 0) return;
  backend_.norm(norm_params(layer.ffn_norm, layer.ffn_norm_bias), step.h, step.x);
  for (const auto& ffn : layer.ffns) ffn->run(backend_, step.x, step.tokens, moe_scratch_, step.h);
}

absl::StatusOr<Tensor> TransformerModel::forward(const Batch& batch) {
  Step step = begin(batch);
  for (const auto& layer : config_.layers) {
    const auto& a = layer.attention;
    if (a.temperature_floor <= 0) continue;
    for (int64_t i = 0; i < step.n; ++i) {
      const float turns = std::floor((static_cast<float>(batch.positions[i]) + 1.0f) / a.temperature_floor);
      temperature_host_[i] = std::log(turns + 1.0f) * a.temperature_scale + 1.0f;
    }
    backend_.copy_in({DType::kF32, {step.n}, act_buffers_.temperature.data()}, temperature_host_.data());
    break;  // the same in every such layer
  }
  backend_.embed(embed_, step.tokens, config_.embedding_scale, step.h);
  for (size_t l = 0; l < layers_.size(); ++l) run_layer(static_cast<int>(l), step);
  const Tensor logits{DType::kF32, {step.n, config_.vocab}, act_buffers_.logits.data()};
  if (step.n == 0) return logits;
  backend_.norm(norm_params(store_.vector("final_norm"), store_.vector("final_norm_bias")), step.h, step.x);
  const quant::Weight& head = config_.tied_embeddings ? embed_ : lm_head_;
  backend_.linear(step.x, head, {.bias = store_.vector("lm_head_bias"), .scale = config_.logit_scale}, logits);
  const Tensor read = backend_.read(logits);
  RETURN_IF_ERROR(backend_.health());
  return read;
}

}  // namespace polymath::model
