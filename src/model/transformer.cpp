#include "model/transformer.h"

#include <algorithm>
#include <utility>

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
  const float* factors = nullptr;
  backend::StepLayout layout;
};

void TransformerModel::check(const Batch& batch) const {
  CHECK(cache_ != nullptr && n_started_ - n_finished_ < static_cast<uint64_t>(steps_in_flight_max()));
  CHECK(batch.n_tokens() >= 1 && batch.n_tokens() <= limits_.tokens_max);
  CHECK(batch.n_seqs() >= 1 && batch.n_seqs() <= limits_.seqs_max);
  CHECK(static_cast<int>(batch.logit_rows.size()) <= limits_.logit_rows_max);
  CHECK(batch.block_table_width >= 1 && batch.block_table_width <= limits_.blocks_max);
  CHECK(samples_on_device() || (batch.sampling.empty() && batch.token_rows.empty()));
  CHECK(batch.sampling.empty() || batch.sampling.size() == batch.logit_rows.size());
}

void TransformerModel::note_cost(const Batch& batch) {
  last_tokens_ = batch.n_tokens();
  last_logit_rows_ = static_cast<int>(batch.logit_rows.size());
  last_context_ = last_pairs_ = 0;
  for (int i = 0; i < batch.n_seqs(); ++i) {
    const double queries = batch.query_start[i + 1] - batch.query_start[i], keys = batch.kv_len[i];
    last_context_ += keys;
    last_pairs_ += queries * (keys - (queries - 1) / 2);
  }
}

QueryTemperature TransformerModel::query_temperature() const {
  for (const auto& layer : config_.layers) {  // the same in every layer that has one
    const auto& a = layer.attention;
    if (a.temperature_floor > 0) return {a.temperature_floor, a.temperature_scale};
  }
  return {};
}

backend::NormParams TransformerModel::norm_params(const float* weight, const float* bias) const {
  return {config_.layer_norm ? backend::NormKind::kLayer : backend::NormKind::kRms, config_.norm_eps, 1, weight, bias};
}

backend::QkvParams TransformerModel::qkv_params(const Layer& layer, const AttentionConfig& a, const Step& step) const {
  using backend::QkvNorm;
  const QkvNorm norm = a.qk_norm == QkNorm::kHead   ? QkvNorm::kHead
                       : a.qk_norm == QkNorm::kFull ? QkvNorm::kWhole
                       : a.qk_norm == QkNorm::kNone ? QkvNorm::kNone
                                                    : QkvNorm::kHeadAfter;
  return {.n_heads = a.n_heads,
          .n_kv_heads = a.n_kv_heads,
          .head_dim = a.head_dim,
          .norm = norm,
          .eps = config_.norm_eps,
          .q_norm = layer.q_norm,
          .k_norm = layer.k_norm,
          .rope = {.cos_sin = layer.cos_sin, .dims = a.rope.dims, .interleaved = a.rope.interleaved},
          .factors = a.temperature_floor > 0 ? step.factors : nullptr};
}

void TransformerModel::attend(int index, Step& step) {
  const Layer& layer = layers_[index];
  const AttentionConfig& a = config_.layers[index].attention;
  const int64_t q_width = static_cast<int64_t>(a.n_heads) * a.head_dim,
                kv_width = static_cast<int64_t>(a.n_kv_heads) * a.head_dim;
  const Tensor qkv{DType::kF32, {step.n, q_width + 2 * kv_width}, act_buffers_.qkv.data()};
  backend_.linear(step.x, layer.qkv, {.bias = layer.qkv_bias, .clamp = a.clip_qkv}, qkv);
  const KvLayer& kv = cache_->layer(index);
  const Tensor out{act_, {step.n, q_width}, act_buffers_.attention.data()};
  backend_.attention_of_qkv(qkv_params(layer, a, step), {a.n_heads, a.scale, a.window, a.chunk, layer.sinks}, qkv, kv,
                            step.layout, out);
  backend_.linear(out, layer.attn_out,
                  {.bias = layer.attn_out_bias, .accumulate = true, .scale = config_.residual_scale}, step.h);
}

// MLA in its absorbed form: queries are carried into the latent space, so that the cache is read as it is.
void TransformerModel::attend_latent(int index, Step& step) {
  const Layer& layer = layers_[index];
  const AttentionConfig& a = config_.layers[index].attention;
  const int64_t n = step.n, q_dim = static_cast<int64_t>(a.n_heads) * a.head_dim, key_dim = a.kv_lora + a.rope.dims;
  const int64_t x_q_dim = a.q_lora > 0 ? a.q_lora : q_dim;
  const Tensor qkv{DType::kF32, {n, x_q_dim + key_dim}, act_buffers_.qkv.data()};
  backend_.linear(step.x, layer.qkv, {}, qkv);
  Tensor q = qkv.slice_cols(0, x_q_dim);
  if (a.q_lora > 0) {
    backend_.norm({.eps = config_.norm_eps, .weight = layer.q_a_norm}, q, q);
    const Tensor up{DType::kF32, {n, q_dim}, act_buffers_.q.data()};
    backend_.linear(q, layer.q_b, {}, up);
    q = up;
  }
  const KvLayer& kv = cache_->layer(index);
  const Tensor full{DType::kF32, {n, a.n_heads * key_dim}, act_buffers_.q_full.data()};
  backend_.prepare_latent({.n_heads = a.n_heads,
                           .nope_dim = a.nope_dim,
                           .kv_lora = a.kv_lora,
                           .eps = config_.norm_eps,
                           .kv_norm = layer.kv_a_norm,
                           .rope = {layer.cos_sin, a.rope.dims, a.rope.interleaved}},
                          step.layout, q, qkv.slice_cols(x_q_dim, key_dim), layer.key_up, full, kv);
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
  for (const auto& ffn : layer.ffns) {
    if (!ffn->joined) ffn->run(backend_, step.x, step.tokens, moe_scratch_, step.h);
  }
}

void TransformerModel::run(const StepViews& v) {
  auto& b = act_buffers_;
  Step step{.n = v.n,
            .tokens = v.tokens,
            .h = {DType::kF32, {v.n, config_.hidden}, b.h.data()},
            .x = {act_, {v.n, config_.hidden}, b.x.data()},
            .logit_rows = v.logit_rows,
            .gathers = v.logit_rows.shape[0] < v.n,
            .factors = v.factors,
            .layout = v.layout};
  const Tensor chosen{DType::kI32, {limits_.logit_rows_max}, b.sampled.data()};
  if (samples_on_device()) backend_.take_sampled(chosen, v.token_rows, v.tokens);
  backend_.embed(embed_, step.tokens, config_.embedding_scale, step.h);
  for (size_t l = 0; l < layers_.size(); ++l) run_layer(static_cast<int>(l), step);
  if (step.n == 0) return;
  const Tensor logits{DType::kF32, {step.n, config_.vocab}, b.logits.data()};
  backend_.norm(norm_params(store_.vector("final_norm"), store_.vector("final_norm_bias")), step.h, step.x);
  const quant::Weight& head = config_.tied_embeddings ? embed_ : lm_head_;
  backend_.linear(step.x, head, {.bias = store_.vector("lm_head_bias"), .scale = config_.logit_scale}, logits);
  if (samples_on_device()) backend_.sample(logits, v.sampling, chosen);
}

const TransformerModel::CapturedStep* TransformerModel::captured_step(const Batch& batch) const {
  const int n = batch.n_tokens();
  if (n == 0 || n != batch.n_seqs() || n != static_cast<int>(batch.logit_rows.size())) return nullptr;
  const int keys = *std::max_element(batch.kv_len.begin(), batch.kv_len.end());
  for (const CapturedStep& r : captured_) {
    if (r.rows >= n && (r.keys_most == 0 || r.keys_most >= keys)) return &r;
  }
  return nullptr;
}

absl::Status TransformerModel::start(const Batch& batch) {
  check(batch);
  note_cost(batch);
  const CapturedStep* const captured = captured_step(batch);
  const StepViews views = inputs_.put(backend_, batch, captured != nullptr ? captured->rows : 0);
  if (captured != nullptr) {
    backend_.launch(*captured->graph);
  } else {
    run(views);
  }
  post_results(batch);
  return backend_.health();
}

void TransformerModel::post_results(const Batch& batch) {
  const int slot = static_cast<int>(n_started_++ % kResultSlots);
  InFlightStep& flight = in_flight_[static_cast<size_t>(slot)];
  const auto rows = static_cast<int64_t>(batch.logit_rows.size());
  const Tensor logits{DType::kF32, {rows, config_.vocab}, act_buffers_.logits.data()};
  flight = {};
  flight.logits = {DType::kF32, {0, config_.vocab}, nullptr};
  if (rows == 0) return;
  if (batch.sampling.empty()) {
    flight.logits = backend_.enqueue_readback(slot, logits);
    return;
  }
  flight.ids = backend_.enqueue_readback(slot, {DType::kI32, {rows}, act_buffers_.sampled.data()});
  for (size_t i = 0; i < batch.host_rows.size(); ++i) {  // one behind the other in the box
    const Tensor row = backend_.enqueue_readback(slot, logits.slice_rows(batch.host_rows[i], 1));
    if (i == 0) flight.logits = {DType::kF32, {static_cast<int64_t>(batch.host_rows.size()), config_.vocab}, row.data};
  }
}

absl::StatusOr<StepResult> TransformerModel::finish() {
  CHECK(n_finished_ < n_started_);
  const int slot = static_cast<int>(n_finished_++ % kResultSlots);
  const InFlightStep& flight = in_flight_[static_cast<size_t>(slot)];
  backend_.await_readback(slot);
  RETURN_IF_ERROR(backend_.health());
  StepResult result{flight.logits, {}};
  if (!flight.ids.empty()) result.ids = {flight.ids.i32(), static_cast<size_t>(flight.ids.shape[0])};
  return result;
}

// Keys of the sequences of a captured step of short contexts, at most: few enough that CUDA's attention cuts none but
// latent ones.
constexpr int kShortContext = 1024;

// Rows of the captured steps: few enough that recording them is a moment's work, close enough that little is computed
// for nothing.
absl::Status TransformerModel::capture_steps() {
  if (!options_.capture_graphs || !backend_.captures_graphs()) return absl::OkStatus();
  for (const auto& layer : layers_) {
    for (const auto& ffn : layer.ffns) {
      if (!ffn->by_token()) return absl::OkStatus();  // it goes by way of the host
    }
  }
  const int most = std::min({limits_.seqs_max, limits_.tokens_max, limits_.logit_rows_max});
  const int64_t free_before = backend_.memory_available();
  for (int rows = 1; rows > 0;) {
    StepViews views = inputs_.put(backend_, {}, rows);
    for (const int keys_most : {kShortContext, 0}) {
      views.layout.keys_most = keys_most;
      run(views);  // what is loaded or chosen at the first call is so now
      backend_.begin_capture();
      run(views);
      ASSIGN_OR_RETURN(auto graph, backend_.end_capture());
      captured_.push_back({rows, keys_most, std::move(graph)});
    }
    const int next = rows < 8 ? 2 * rows : rows < 32 ? rows + 8 : rows < 64 ? rows + 16 : rows + 32;
    rows = rows == most ? 0 : std::min(next, most);
  }
  graph_bytes_ = static_cast<size_t>(std::max<int64_t>(0, free_before - backend_.memory_available()));
  return backend_.health();
}

}  // namespace polymath::model
