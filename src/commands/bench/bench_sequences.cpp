#include "commands/bench/bench_sequences.h"

#include <algorithm>

#include "base/clock.h"

namespace polymath::commands {

Sequences::Sequences(Runtime& runtime, const BenchOptions& options, int n, int prompt)
    : model_(runtime.transformer()),
      block_size_(runtime.block_size()),
      n_(n),
      width_((prompt + options.output + runtime.block_size() - 1) / runtime.block_size()),
      same_tokens_(options.same_tokens),
      feedback_(options.feedback),
      any_(0, model_.vocab() - 1) {}

model::Batch Sequences::batch_of(int count) {
  for (auto* array : {&tokens_, &positions_, &slots_, &starts_, &lens_, &rows_, &table_, &states_}) array->clear();
  cleared_.clear();
  starts_.push_back(0);
  for (int s = 0; s < n_; ++s) {
    for (int t = computed_; t < computed_ + count; ++t) {
      tokens_.push_back(next_token());
      positions_.push_back(t);
      slots_.push_back((s * width_ + t / block_size_) * block_size_ + t % block_size_);
    }
    starts_.push_back(static_cast<int32_t>(tokens_.size()));
    rows_.push_back(static_cast<int32_t>(tokens_.size()) - 1);
    lens_.push_back(computed_ + count);
    if (model_.has_state()) states_.push_back(s);
    if (model_.has_state() && computed_ == 0) cleared_.push_back({-1, s});
    for (int b = 0; b < width_; ++b) table_.push_back(s * width_ + b);
  }
  computed_ += count;
  return {.tokens = tokens_,
          .positions = positions_,
          .slots = slots_,
          .query_start = starts_,
          .kv_len = lens_,
          .block_table = table_,
          .block_table_width = width_,
          .logit_rows = rows_,
          .state_slots = states_,
          .state_copies = cleared_};
}

absl::StatusOr<double> Sequences::step(int count) {
  const model::Batch batch = batch_of(count);
  const double begin = base::steady_seconds();
  ASSIGN_OR_RETURN(const auto logits, model_.forward(batch));
  const double seconds = base::steady_seconds() - begin;
  if (logits.rows() != n_) return absl::InternalError("the model gave another number of logits");
  cost_ = model_.last_step_cost();
  return seconds;
}

absl::StatusOr<Sequences::Times> Sequences::steps_ahead(int count) {
  sampling_.assign(static_cast<size_t>(n_), {});
  Times times;
  double waited = 0;
  int in_flight = 0;
  const auto finish = [&]() -> absl::Status {
    const double begin = base::steady_seconds();
    ASSIGN_OR_RETURN(const auto result, model_.finish());
    waited += base::steady_seconds() - begin;
    --in_flight;
    const bool sane = static_cast<int>(result.ids.size()) == n_ &&
                      std::ranges::none_of(result.ids, [](int32_t id) { return id == model::kNotNumbers; });
    return sane ? absl::OkStatus() : absl::InternalError("the device chose no token");
  };
  const double begin = base::steady_seconds();
  for (int t = 0; t < count; ++t) {
    const double step_begin = base::steady_seconds(), waited_before = waited;
    model::Batch batch = batch_of(1);
    batch.sampling = sampling_;
    if (feedback_ && t > 0) {  // a sequence's row is the same in every step
      token_rows_.resize(static_cast<size_t>(n_));
      for (int s = 0; s < n_; ++s) token_rows_[static_cast<size_t>(s)] = s;
      batch.token_rows = token_rows_;
    }
    RETURN_IF_ERROR(model_.start(batch));
    if (++in_flight == model_.steps_in_flight_max()) RETURN_IF_ERROR(finish());
    times.host_seconds.push_back(base::steady_seconds() - step_begin - (waited - waited_before));
  }
  while (in_flight > 0) RETURN_IF_ERROR(finish());
  times.seconds = base::steady_seconds() - begin;
  return times;
}

}  // namespace polymath::commands
