#include "model/transformer.h"

#include <algorithm>
#include <utility>

#include "base/clock.h"

namespace polymath::model {

using parallel::Activity;
using tensor::DType;
using tensor::Tensor;

struct TransformerModel::Step {
  int64_t n = 0;        // rows of h: tokens, then logit rows in the last layer's feed-forward
  Tensor tokens, h, x;  // ids [n], residual f32 [n, hidden], normed act [n, hidden]
  Tensor logit_rows;
  layers::StepContext context;
};

void TransformerModel::check(const Batch& batch) const {
  CHECK(cache_ != nullptr && results_.in_flight() < steps_in_flight_max());
  CHECK(batch.n_tokens() >= 1 && batch.n_tokens() <= limits_.tokens_max);
  CHECK(batch.n_seqs() >= 1 && batch.n_seqs() <= limits_.seqs_max);
  CHECK(static_cast<int>(batch.logit_rows.size()) <= limits_.logit_rows_max);
  CHECK(batch.block_table_width >= 1 && batch.block_table_width <= limits_.blocks_max);
  CHECK(samples_on_device() || (batch.sampling.empty() && batch.token_rows.empty()));
  CHECK(batch.adapters.empty() || adapters_.size() > 0);
  CHECK(!has_state() || !batch.state_slots.empty());
  CHECK(batch.sampling.empty() || batch.sampling.size() == batch.logit_rows.size());
}

void TransformerModel::note_extent(const Batch& batch) {
  last_ = {.tokens = static_cast<double>(batch.n_tokens()), .logit_rows = static_cast<double>(batch.logit_rows.size())};
  for (int i = 0; i < batch.n_seqs(); ++i) {
    const double queries = batch.query_start[i + 1] - batch.query_start[i], keys = batch.kv_len[i];
    last_.context += keys;
    last_.pairs += queries * (keys - (queries - 1) / 2);
  }
}

// Past the last attention only the rows whose logits are wanted matter.
void TransformerModel::gather_logit_rows(Step& step) {
  const int64_t rows = step.logit_rows.shape[0];
  const Tensor h{DType::kF32, {rows, config_.hidden}, act_buffers_.gathered.data()};
  const Tensor tokens{DType::kI32, {rows}, act_buffers_.gathered_tokens.data()};
  if (rows > 0) {
    backend_.gather_rows(step.h, step.logit_rows, h);
    // Ids pass as f32 bits: a copy, no arithmetic.
    backend_.gather_rows({DType::kF32, {step.n, 1}, step.tokens.data}, step.logit_rows,
                         {DType::kF32, {rows, 1}, tokens.data});
  }
  step.n = rows;
  step.h = h;
  step.tokens = tokens;
  step.x = {act_, {rows, config_.hidden}, step.x.data};
}

// The residual stream itself. With norms of the outputs: zeros.
Tensor TransformerModel::begin_branch(const Step& step) {
  if (!config_.post_norms) return step.h;
  const Tensor branch{DType::kF32, {step.n, config_.hidden}, act_buffers_.branch.data()};
  backend_.zero(branch);
  return branch;
}

// h += norm(branch). combine() is the sum that every backend has.
void TransformerModel::end_branch(const backend::NormParams& norm, const Tensor& branch, const Step& step) {
  if (!config_.post_norms) return;
  backend_.norm(norm, branch, branch);
  backend_.combine(branch, moe_scratch_.one_group(step.n), moe_scratch_.to_one_expert(step.n), 1, step.h);
}

void TransformerModel::run_layer(int index, Step& step) {
  const Layer& layer = layers_[static_cast<size_t>(index)];
  step.context.kv = &cache_->layer(index);
  step.context.states = cache_->state(index);
  trace_.enter(Activity::kAttention, stage_.first_layer + index);
  backend_.norm(layer.attn_norm, step.h, step.x);
  const Tensor attended = begin_branch(step);
  layer.attention->run(step.context, step.x, attended);
  end_branch(layer.attn_post_norm, attended, step);
  const bool last = stage_.last() && index + 1 == static_cast<int>(layers_.size());
  if (last && step.logit_rows.shape[0] < step.n) gather_logit_rows(step);
  if (step.n == 0) return;
  trace_.enter(Activity::kFeedForward);
  backend_.norm(layer.ffn_norm, step.h, step.x);
  const Tensor fed = begin_branch(step);
  const double begin = on_host_ ? base::steady_seconds() : 0;
  layer.ffn.run(step.context, step.x, step.tokens, moe_scratch_, fed);
  if (on_host_) counters_.add_seconds(index, base::steady_seconds() - begin);
  end_branch(layer.ffn_post_norm, fed, step);
}

// A split lm_head gives each rank some columns of the logits.
void TransformerModel::run_head(const StepViews& v, Step& step) {
  const Tensor logits = this->logits(step.n);
  backend_.norm(final_norm_, step.h, step.x);
  const quant::Weight& head = config_.tied_embeddings ? embed_ : lm_head_;
  const backend::LinearEpilogue epilogue{.bias = store_.vector("lm_head_bias"), .scale = config_.logit_scale};
  if (head.shape.rows == config_.vocab) {
    backend_.linear(step.x, head, epilogue, logits);
  } else {
    const Tensor part{DType::kF32, {step.n, head.shape.rows}, act_buffers_.local_logits.data()};
    backend_.linear(step.x, head, epilogue, part);
    group_.all_gather_cols(part, logits);
  }
  const Tensor sampled{DType::kI32, {limits_.logit_rows_max}, act_buffers_.sampled.data()};
  if (samples_on_device()) backend_.sample(logits, v.sampling, sampled);
}

// Of every recurrent layer: the slot `from`, or zeros, to the slot `to`.
void TransformerModel::copy_states(std::span<const kvcache::StateCopy> copies) {
  for (const kvcache::StateCopy& copy : copies) {
    for (size_t l = 0; l < layers_.size(); ++l) {
      const auto spec = layers::cache(config_.layers[l].attention);
      if (spec.kind != kvcache::CacheKind::kState) continue;
      const auto elements = static_cast<int64_t>(spec.state_bytes / sizeof(float));
      auto* const states = static_cast<float*>(cache_->state(static_cast<int>(l)));
      const Tensor to{DType::kF32, {1, elements}, states + copy.to * elements};
      if (copy.from < 0) {
        backend_.zero(to);
      } else {
        const Tensor from{DType::kF32, {1, elements}, states + copy.from * elements};
        backend_.copy_heads({1, static_cast<int>(elements), elements, elements}, from, to);
      }
    }
  }
}

void TransformerModel::run(const StepViews& v) {
  auto& b = act_buffers_;
  if (!v.adapters.empty()) adapter_step_.group(backend_, v.adapters);
  Step step{.n = v.n,
            .tokens = v.tokens,
            .h = residual(v.n),
            .x = {act_, {v.n, config_.hidden}, b.x.data()},
            .logit_rows = v.logit_rows,
            .context = {.backend = backend_,
                        .group = group_,
                        .layout = v.layout,
                        .scratch = scratch_,
                        .act = act_,
                        .query_factors = v.factors,
                        .state_slots = v.state_slots,
                        .adapters = v.adapters.empty() ? nullptr : &adapter_step_}};
  const Tensor sampled{DType::kI32, {limits_.logit_rows_max}, b.sampled.data()};
  if (samples_on_device()) backend_.take_sampled(sampled, v.token_rows, v.tokens);
  if (stage_.first()) {
    trace_.enter(Activity::kEmbedding);
    backend_.embed(embed_, step.tokens, config_.embedding_scale, step.h);
  }
  for (size_t l = 0; l < layers_.size(); ++l) run_layer(static_cast<int>(l), step);
  if (stage_.last() && step.n > 0) {
    trace_.enter(Activity::kHead);
    run_head(v, step);
  }
}

Tensor TransformerModel::residual(int64_t rows) const {
  return {DType::kF32, {rows, config_.hidden}, act_buffers_.h.data()};
}

Tensor TransformerModel::logits(int64_t rows) const {
  const auto set = static_cast<int64_t>(n_started_ % static_cast<uint64_t>(result_sets_));
  return {
      DType::kF32, {rows, config_.vocab}, static_cast<float*>(act_buffers_.logits.data()) + set * limits_.logits_max};
}

absl::Status TransformerModel::start(const Batch& batch) {
  check(batch);
  ++n_started_;
  note_extent(batch);
  counters_.add_step(!batch.logit_rows.empty());
  const CapturedStep* const captured = graphs_.find(batch);
  const StepViews views = inputs_.put(backend_, batch, captured != nullptr ? captured->rows : 0);
  if (!stage_.first()) options_.before->receive(residual(batch.n_tokens()), 0);
  if (captured != nullptr) {
    backend_.launch(*captured->graph);
  } else {
    copy_states(batch.state_copies);
    run(views);
    copy_states(batch.state_saves);
  }
  if (!stage_.last()) {
    options_.after->send(residual(batch.n_tokens()), 1);
    results_.enqueue_none();
    return backend_.health();
  }
  const auto rows = static_cast<int64_t>(batch.logit_rows.size());
  results_.enqueue(backend_, batch, logits(rows), {DType::kI32, {rows}, act_buffers_.sampled.data()});
  return backend_.health();
}

absl::StatusOr<StepResult> TransformerModel::finish() {
  trace_.enter(Activity::kDevice);
  return results_.await(backend_);
}

layers::StepCost TransformerModel::last_step_cost() {
  layers::StepCost cost;
  counters_.read(backend_);
  for (size_t l = 0; l < layers_.size(); ++l) {
    layers_[l].attention->add_cost(last_, cost);
    const backend::KvLayer& kv = cache_->layer(static_cast<int>(l));
    if (kv.data != nullptr)
      cost.kv_bytes += last_.context * static_cast<double>(backend_.kv_block_bytes(kv.shape)) / kv.shape.block_size;
    const double rows = stage_.last() && l + 1 == layers_.size() ? last_.logit_rows : last_.tokens;
    for (const auto& block : layers_[l].ffn.blocks()) {
      const bool counted = !block->load.empty();
      const auto touched = counted ? counters_.since_last(*block) : ExpertCounters::Touched{rows, rows > 0 ? 1.0 : 0.0};
      block->add_cost(rows, touched.pairs, touched.experts, cost);
    }
  }
  if (stage_.last()) cost.add_weight(config_.tied_embeddings ? embed_ : lm_head_, last_.logit_rows);
  return cost;
}

}  // namespace polymath::model
