#pragma once

// A model whose next token is a hash of the whole sequence before it, read back through the block table from a pretend
// KV cache: a block that is shared, reused or written wrongly changes what it says.

#include <atomic>
#include <chrono>
#include <functional>
#include <limits>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "model/model.h"

namespace polymath::engine {

class FakeModel : public model::Model {
 public:
  FakeModel(int vocab, int block_size, int64_t n_blocks, int rows_max)
      : vocab_(vocab), block_size_(block_size), store_(n_blocks * block_size), logits_(int64_t{rows_max} * vocab) {}

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

  absl::StatusOr<tensor::Tensor> forward(const model::Batch& batch) override {
    if (n_forwards++ == fail_at) return absl::InternalError("the device is gone");
    if (step_us > 0) std::this_thread::sleep_for(std::chrono::microseconds(step_us));
    n_tokens += batch.n_tokens();
    for (int i = 0; i < batch.n_tokens(); ++i) store_[batch.slots[i]] = {batch.tokens[i], batch.positions[i]};
    size_t row = 0;
    for (int s = 0; s < batch.n_seqs(); ++s) {
      for (; row < batch.logit_rows.size() && batch.logit_rows[row] < batch.query_start[s + 1]; ++row) {
        const int position = batch.positions[batch.logit_rows[row]];
        if (position >= batch.kv_len[s]) return absl::InternalError("a row beyond its sequence");
        if (auto status = fill(batch, s, position, &logits_[row * vocab_]); !status.ok()) return status;
      }
    }
    if (row != batch.logit_rows.size()) return absl::InternalError("rows out of order");
    const tensor::Shape shape{static_cast<int64_t>(row), vocab_};
    return tensor::Tensor{tensor::DType::kF32, shape, row == 0 ? nullptr : logits_.data()};
  }

  int vocab() const override { return vocab_; }
  std::vector<ExpertLoad> expert_load() const override {
    if (pairs.empty()) return {};
    return {{3, pairs}};
  }

  std::atomic<int64_t> n_forwards{0}, n_tokens{0};
  std::atomic<int64_t> fail_at{-1};
  int step_us = 0;
  bool not_a_number = false;
  std::vector<int64_t> pairs;  // of layer 3

 private:
  struct Slot {
    int32_t token = -1;
    int32_t position = -1;
  };

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

  const int vocab_, block_size_;
  std::vector<Slot> store_;
  std::vector<float> logits_;
};

}  // namespace polymath::engine
