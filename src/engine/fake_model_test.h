#pragma once

// A model whose next token is a hash of the whole sequence before it, read back through the block table from a pretend
// KV cache: a block that is shared, reused or written wrongly changes what it says.
//
// With a depth of 2 it is a device: it chooses tokens itself, takes a step while another is in flight, runs the steps
// in the order of their starts, and tells nothing of a step before its finish().

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <functional>
#include <limits>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "engine/sampling/sampler.h"
#include "model/model.h"

namespace polymath::engine {

class FakeModel : public model::Model {
 public:
  // `depth` 2: a device, which chooses tokens.
  FakeModel(int vocab, int block_size, int64_t n_blocks, int rows_max, int depth = 1)
      : vocab_(vocab), block_size_(block_size), depth_(depth), store_(n_blocks * block_size), scratch_(vocab) {
    CHECK(depth >= 1 && depth <= kResultSlots && vocab <= static_cast<int>(kStretch));
    for (Step& step : steps_) {
      for (auto* list : {&step.tokens, &step.positions, &step.slots, &step.token_rows}) list->reserve(store_.size());
      for (auto* list : {&step.query_start, &step.kv_len, &step.logit_rows, &step.host_rows, &step.ids}) {
        list->reserve(rows_max + 1);
      }
      step.block_table.reserve(rows_max * n_blocks);
      step.sampling.reserve(rows_max);
      step.logits.resize(int64_t{rows_max + 1} * vocab);
    }
    chosen_before_.reserve(rows_max);
  }

  // The next token after `at(0)`, ..., `at(n - 1)`.
  template <typename At>
  static int32_t next(int n, int vocab, At at) {
    uint64_t hash = 0xcbf29ce484222325;
    for (int i = 0; i < n; ++i) hash = (hash ^ static_cast<uint64_t>(at(i) + 1)) * 0x100000001b3;
    return static_cast<int32_t>((hash ^ (hash >> 29)) % static_cast<uint64_t>(vocab));
  }

  // What a request answers when it runs alone: `n` tokens, or up to the first `eos`.
  static std::vector<int32_t> answer(std::vector<int32_t> tokens, int n, int vocab, int32_t eos = -1) {
    const size_t begin = tokens.size();
    while (n-- > 0) {
      tokens.push_back(next(static_cast<int>(tokens.size()), vocab, [&](int i) { return tokens[i]; }));
      if (tokens.back() == eos) break;
    }
    return {tokens.begin() + begin, tokens.end()};
  }

  absl::Status start(const model::Batch& batch) override {
    CHECK(n_in_flight() < depth_ && !failed_);
    CHECK(samples_on_device() || (batch.sampling.empty() && batch.token_rows.empty()));
    if (n_starts == fail_at_start) return fail();
    n_tokens += batch.n_tokens();
    steps_[n_starts++ % kResultSlots].copy(batch);
    return absl::OkStatus();
  }

  // Only now does the step run, all that it reads and writes included: as late as a device may.
  absl::StatusOr<model::StepResult> finish() override {
    CHECK(n_in_flight() > 0 && !failed_);
    if (step_us > 0) std::this_thread::sleep_for(std::chrono::microseconds(step_us));
    if (n_forwards == fail_at) return fail();
    Step& step = steps_[n_forwards++ % kResultSlots];
    model::StepResult result;
    const absl::Status status = run(step, result);
    chosen_before_ = step.ids;
    if (!status.ok()) return status;
    return result;
  }

  bool samples_on_device() const override { return depth_ > 1; }
  int steps_in_flight_max() const override { return depth_; }
  int n_in_flight() const { return static_cast<int>(n_starts - n_forwards); }
  int vocab() const override { return vocab_; }
  std::vector<ExpertLoad> expert_load() const override {
    if (pairs.empty()) return {};
    return {{3, pairs}};
  }

  std::atomic<int64_t> n_starts{0}, n_forwards{0}, n_tokens{0};
  std::atomic<int64_t> fail_at{-1}, fail_at_start{-1};  // no call may follow
  std::atomic<int64_t> n_chosen{0}, n_ahead{0};         // tokens chosen here; and taken before the host knew them
  int step_us = 0;
  bool not_a_number = false;
  std::vector<int64_t> pairs;  // of layer 3

 private:
  struct Slot {
    int32_t token = -1;
    int32_t position = -1;
  };

  static constexpr int kResultSlots = 2;

  // A batch of its own, since the caller's is gone when it runs; and its results.
  struct Step {
    std::vector<int32_t> tokens, positions, slots, query_start, kv_len, block_table, logit_rows, token_rows, host_rows;
    std::vector<model::SampleParams> sampling;
    std::vector<int32_t> ids;
    std::vector<float> logits;
    model::Batch batch;

    template <typename T>
    static std::span<const T> keep(std::vector<T>& to, std::span<const T> from) {
      to.assign(from.begin(), from.end());
      return to;
    }
    void copy(const model::Batch& b) {
      batch = {.tokens = keep(tokens, b.tokens),
               .positions = keep(positions, b.positions),
               .slots = keep(slots, b.slots),
               .query_start = keep(query_start, b.query_start),
               .kv_len = keep(kv_len, b.kv_len),
               .block_table = keep(block_table, b.block_table),
               .block_table_width = b.block_table_width,
               .logit_rows = keep(logit_rows, b.logit_rows),
               .token_rows = keep(token_rows, b.token_rows),
               .sampling = keep(sampling, b.sampling),
               .host_rows = keep(host_rows, b.host_rows)};
    }
  };

  absl::Status fail() {
    failed_ = true;
    return absl::InternalError("the device is gone");
  }

  absl::Status run(Step& step, model::StepResult& result) {
    const model::Batch& batch = step.batch;
    for (size_t i = 0; i < batch.token_rows.size(); ++i) {
      if (batch.token_rows[i] < 0) continue;
      ++n_ahead;
      step.tokens[i] = chosen_before_.at(batch.token_rows[i]);
    }
    for (int i = 0; i < batch.n_tokens(); ++i) store_[batch.slots[i]] = {batch.tokens[i], batch.positions[i]};
    step.ids.clear();
    size_t row = 0, host_row = 0;
    for (int s = 0; s < batch.n_seqs(); ++s) {
      for (; row < batch.logit_rows.size() && batch.logit_rows[row] < batch.query_start[s + 1]; ++row) {
        const int position = batch.positions[batch.logit_rows[row]];
        if (position >= batch.kv_len[s]) return absl::InternalError("a row beyond its sequence");
        float* logits = &step.logits[host_row * vocab_];
        if (auto status = fill(batch, s, position, logits); !status.ok()) return status;
        if (!batch.sampling.empty()) step.ids.push_back(choose(logits, batch.sampling[row]));
        host_row += batch.sampling.empty() ||
                    std::binary_search(batch.host_rows.begin(), batch.host_rows.end(), static_cast<int32_t>(row));
      }
    }
    if (row != batch.logit_rows.size()) return absl::InternalError("rows out of order");
    n_chosen += static_cast<int64_t>(step.ids.size() - batch.host_rows.size());
    const tensor::Shape shape{static_cast<int64_t>(host_row), vocab_};
    result = {{tensor::DType::kF32, shape, host_row == 0 ? nullptr : step.logits.data()}, step.ids};
    return absl::OkStatus();
  }

  // As the sampler does it, whose vocabulary is one stretch here.
  int32_t choose(const float* logits, const model::SampleParams& params) {
    std::copy(logits, logits + vocab_, scratch_.logits.begin());
    if (!is_sane(scratch_.logits)) return model::kNotNumbers;
    if (params.temperature == 0) return best_id(scratch_.logits);
    SamplingParams p;
    p.temperature = params.temperature;
    p.min_p = params.min_p;
    p.top_k = params.top_k;
    p.top_p = params.top_p;
    Row row{p, {}, {}, nullptr, scratch_.logits, scratch_};
    for (const SamplingStep& step : sampling_steps()) {
      if (step.on_device && step.applies(row)) step.apply(row);
    }
    const double target = weigh_staying(row) * params.uniform;
    double below = 0;
    int32_t last = 0;
    for (int32_t id = 0; id < vocab_ && below <= target; ++id) {
      if (scratch_.weights[id] <= 0) continue;
      below += scratch_.weights[id];
      last = id;
    }
    return last;
  }

  absl::Status fill(const model::Batch& batch, int s, int position, float* logits) {
    bool wrong = false;
    const auto at = [&](int i) {
      const int32_t block = batch.block_table[int64_t{s} * batch.block_table_width + i / block_size_];
      const Slot& slot = store_[int64_t{block} * block_size_ + i % block_size_];
      wrong |= slot.position != i;
      return slot.token;
    };
    const int32_t best = next(position + 1, vocab_, at);
    if (wrong) return absl::InternalError(absl::StrCat("sequence ", s, ": a slot holds another position"));
    for (int id = 0; id < vocab_; ++id) logits[id] = static_cast<float>((id * 37 + best) % 11) * 0.25f;
    logits[best] = 8;
    if (not_a_number) logits[vocab_ / 2] = std::numeric_limits<float>::quiet_NaN();
    return absl::OkStatus();
  }

  const int vocab_, block_size_, depth_;
  std::vector<Slot> store_;
  std::array<Step, kResultSlots> steps_;
  std::vector<int32_t> chosen_before_;  // of the step that ran last
  Scratch scratch_;
  bool failed_ = false;
};

}  // namespace polymath::engine
