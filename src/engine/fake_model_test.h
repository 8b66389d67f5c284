#pragma once

// A model whose next token is a hash of all tokens before it. It reads them through the block table from a fake KV
// cache. A block that is shared, reused or written wrongly changes its output.
//
// With a depth of 2 it acts as a device. It samples tokens, takes a step while another is in flight, and runs a step
// only in its finish().
//
// With state slots it is recurrent, too: a state holds the hash so far. A wrongly restored state disagrees with the KV
// cache, and the step fails.

#include <algorithm>
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
  struct Caches {
    int64_t n_blocks = 0;
    int n_state_slots = 0;  // > 0: recurrent
  };
  // `depth` 2: a device, which samples.
  FakeModel(int vocab, int block_size, Caches caches, int rows_max, int depth = 1)
      : vocab_(vocab),
        block_size_(block_size),
        depth_(depth),
        store_(caches.n_blocks * block_size),
        states_(caches.n_state_slots),
        steps_(static_cast<size_t>(std::max(2, depth))),
        scratch_(vocab) {
    CHECK(depth >= 1 && vocab <= static_cast<int>(kStretch));
    for (Step& step : steps_) {
      for (auto* list : {&step.tokens, &step.positions, &step.slots, &step.token_rows}) list->reserve(store_.size());
      for (auto* list : {&step.query_start, &step.kv_len, &step.logit_rows, &step.host_rows, &step.ids,
                         &step.state_slots, &step.adapters}) {
        list->reserve(rows_max + 1);
      }
      for (auto* list : {&step.state_copies, &step.state_saves}) list->reserve(rows_max);
      step.block_table.reserve(rows_max * caches.n_blocks);
      step.sampling.reserve(rows_max);
      step.logits.resize(int64_t{rows_max + 1} * vocab);
    }
    sampled_before_.reserve(rows_max);
  }

  // The hash of a sequence, token by token.
  static uint64_t hash_of_nothing(int adapter) { return 0xcbf29ce484222325 ^ static_cast<uint64_t>(adapter + 1); }
  static uint64_t hash_with(uint64_t hash, int32_t token) {
    return (hash ^ static_cast<uint64_t>(token + 1)) * 0x100000001b3;
  }
  static int32_t next_of(uint64_t hash, int vocab) {
    return static_cast<int32_t>((hash ^ (hash >> 29)) % static_cast<uint64_t>(vocab));
  }
  // The next token after `at(0)`, ..., `at(n - 1)`.
  template <typename At>
  static int32_t next(int n, int vocab, At at, int adapter = -1) {
    uint64_t hash = hash_of_nothing(adapter);
    for (int i = 0; i < n; ++i) hash = hash_with(hash, at(i));
    return next_of(hash, vocab);
  }

  // What a request answers when it runs alone: `n` tokens, or up to the first `eos`.
  static std::vector<int32_t> answer(std::vector<int32_t> tokens, int n, int vocab, int32_t eos = -1,
                                     int adapter = -1) {
    const size_t begin = tokens.size();
    const auto at = [&](int i) { return tokens[i]; };
    while (n-- > 0) {
      tokens.push_back(next(static_cast<int>(tokens.size()), vocab, at, adapter));
      if (tokens.back() == eos) break;
    }
    return {tokens.begin() + begin, tokens.end()};
  }

  absl::Status start(const model::Batch& batch) override {
    CHECK(n_in_flight() < depth_ && !failed_);
    CHECK(samples_on_device() || (batch.sampling.empty() && batch.token_rows.empty()));
    if (n_starts == fail_at_start) return fail();
    n_tokens += batch.n_tokens();
    steps_[static_cast<size_t>(n_starts++) % steps_.size()].copy(batch);
    return absl::OkStatus();
  }

  // Runs the step as late as a device may.
  absl::StatusOr<model::StepResult> finish() override {
    CHECK(n_in_flight() > 0 && !failed_);
    if (step_us > 0) std::this_thread::sleep_for(std::chrono::microseconds(step_us));
    if (n_forwards == fail_at) return fail();
    Step& step = steps_[static_cast<size_t>(n_forwards++) % steps_.size()];
    model::StepResult result;
    const absl::Status status = run(step, result);
    sampled_before_ = step.ids;
    if (!status.ok()) return status;
    return result;
  }

  bool samples_on_device() const override { return depth_ > 1 && samples; }
  int steps_in_flight_max() const override { return depth_; }
  int n_in_flight() const { return static_cast<int>(n_starts - n_forwards); }
  int vocab() const override { return vocab_; }
  bool has_state() const override { return !states_.empty(); }
  int n_adapters() const override { return adapters; }
  std::vector<ExpertLoad> expert_load() const override {
    if (pairs.empty()) return {};
    return {{3, pairs}};
  }

  std::atomic<int64_t> n_starts{0}, n_forwards{0}, n_tokens{0};
  std::atomic<int64_t> fail_at{-1}, fail_at_start{-1};  // no call may follow
  std::atomic<int64_t> n_sampled{0}, n_ahead{0};        // tokens sampled here; and read before the host knew them
  std::atomic<int64_t> n_resumed{0};                    // states restored from a snapshot
  bool samples = true;                                  // with a depth of 2: as a device
  int adapters = 0;
  int step_us = 0;
  bool not_a_number = false;
  std::vector<int64_t> pairs;  // of layer 3

 private:
  struct Slot {
    int32_t token = -1;
    int32_t position = -1;
    int32_t adapter = -1;
  };
  struct State {
    uint64_t hash = 0;
    int32_t n = -1;  // tokens
  };

  // A copy of the batch, since the caller's is gone when the step runs; and its results.
  struct Step {
    std::vector<int32_t> tokens, positions, slots, query_start, kv_len, block_table, logit_rows, token_rows, host_rows;
    std::vector<int32_t> state_slots, adapters;
    std::vector<model::StateCopy> state_copies, state_saves;
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
               .host_rows = keep(host_rows, b.host_rows),
               .state_slots = keep(state_slots, b.state_slots),
               .state_copies = keep(state_copies, b.state_copies),
               .state_saves = keep(state_saves, b.state_saves),
               .adapters = keep(adapters, b.adapters)};
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
      step.tokens[i] = sampled_before_.at(batch.token_rows[i]);
    }
    for (const auto& [from, to] : batch.state_copies) copy_state(from, to);
    step.ids.clear();
    size_t row = 0, host_row = 0;
    for (int s = 0; s < batch.n_seqs(); ++s) write_kv(batch, s);
    for (int s = 0; s < batch.n_seqs(); ++s) {
      if (has_state() && states_.at(batch.state_slots[s]).n != batch.positions[batch.query_start[s]]) {
        return absl::InternalError("a state of another position");
      }
      for (int i = batch.query_start[s]; i < batch.query_start[s + 1]; ++i) {
        if (has_state()) advance(states_[batch.state_slots[s]], batch.tokens[i], adapter_of(batch, s));
        if (row == batch.logit_rows.size() || batch.logit_rows[row] != i) continue;
        float* logits = &step.logits[host_row * vocab_];
        if (auto status = fill(batch, s, i, logits); !status.ok()) return status;
        if (!batch.sampling.empty()) step.ids.push_back(sample(logits, batch.sampling[row]));
        host_row += batch.sampling.empty() ||
                    std::binary_search(batch.host_rows.begin(), batch.host_rows.end(), static_cast<int32_t>(row));
        ++row;
      }
    }
    for (const auto& [from, to] : batch.state_saves) states_.at(to) = states_.at(from);
    if (row != batch.logit_rows.size()) return absl::InternalError("rows out of order");
    n_sampled += static_cast<int64_t>(step.ids.size() - batch.host_rows.size());
    const tensor::Shape shape{static_cast<int64_t>(host_row), vocab_};
    result = {{tensor::DType::kF32, shape, host_row == 0 ? nullptr : step.logits.data()}, step.ids};
    return absl::OkStatus();
  }

  static int adapter_of(const model::Batch& batch, int s) { return batch.adapters.empty() ? -1 : batch.adapters[s]; }
  void copy_state(int32_t from, int32_t to) {
    n_resumed += from >= 0;
    states_.at(to) = from >= 0 ? states_.at(from) : State{0, 0};
  }
  static void advance(State& state, int32_t token, int adapter) {
    state.hash = hash_with(state.n == 0 ? hash_of_nothing(adapter) : state.hash, token);
    ++state.n;
  }
  void write_kv(const model::Batch& batch, int s) {
    for (int i = batch.query_start[s]; i < batch.query_start[s + 1]; ++i) {
      store_[batch.slots[i]] = {batch.tokens[i], batch.positions[i], adapter_of(batch, s)};
    }
  }

  // As the host's sampler, whose vocabulary is one stretch here.
  int32_t sample(const float* logits, const model::SampleParams& params) {
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

  // The logits after token `i` of the batch, of sequence `s`.
  absl::Status fill(const model::Batch& batch, int s, int i, float* logits) {
    bool wrong = false;
    const int position = batch.positions[i], adapter = adapter_of(batch, s);
    if (position >= batch.kv_len[s]) return absl::InternalError("a row beyond its sequence");
    const auto at = [&](int p) {
      const int32_t block = batch.block_table[int64_t{s} * batch.block_table_width + p / block_size_];
      const Slot& slot = store_[int64_t{block} * block_size_ + p % block_size_];
      wrong |= slot.position != p || slot.adapter != adapter;
      return slot.token;
    };
    const int32_t best = next(position + 1, vocab_, at, adapter);
    if (wrong) return absl::InternalError(absl::StrCat("sequence ", s, ": a slot holds another position or adapter"));
    if (has_state() && next_of(states_[batch.state_slots[s]].hash, vocab_) != best) {
      return absl::InternalError(absl::StrCat("sequence ", s, ": its state is another one's"));
    }
    for (int id = 0; id < vocab_; ++id) logits[id] = static_cast<float>((id * 37 + best) % 11) * 0.25f;
    logits[best] = 8;
    if (not_a_number) logits[vocab_ / 2] = std::numeric_limits<float>::quiet_NaN();
    return absl::OkStatus();
  }

  const int vocab_, block_size_, depth_;
  std::vector<Slot> store_;
  std::vector<State> states_;
  std::vector<Step> steps_;              // step i is at i % steps_.size()
  std::vector<int32_t> sampled_before_;  // by the step that ran last
  Scratch scratch_;
  bool failed_ = false;
};

}  // namespace polymath::engine
