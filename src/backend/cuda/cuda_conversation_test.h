#pragma once

// Sequences whose keys and values arrive in steps: the same on CUDA and on the reference, of any cache.

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>
#include <string>

#include "absl/strings/str_cat.h"
#include "backend/cuda/cuda_backend.h"
#include "backend/cuda/cuda_side_test.h"
#include "backend/reference/reference_backend.h"

namespace polymath::backend {

inline constexpr int kTokens = 2102, kSeqs = 3, kFillers = 2;
inline constexpr StepLimits kLimits{.tokens_max = kTokens * kSeqs,
                                    .seqs_max = kSeqs + kFillers,
                                    .blocks_max = 421,
                                    .hidden_max = 128,
                                    .pairs_max = 8,
                                    .intermediate_max = 8,
                                    .attention_max = 128 * 576,
                                    .key_dim_max = 640};

// Types and row gap of queries and outputs. Rows with a gap of one element are not 16-byte aligned: no tensor-core
// kernel fits.
struct Io {
  DType q = DType::kF32, out = DType::kF32;
  int gap = 8;
};

// The prologue of attention_of_qkv(); the conversation makes its weights and angles.
struct Before {
  QkvNorm norm = QkvNorm::kNone;
  int turned = 0;  // rotated elements of a head
  bool interleaved = false, factors = false;
};

// Sequences whose keys arrive in steps, through a scattered block table, over memory used before.
class Conversation {
 public:
  Conversation(Side& side, const AttentionCase& c, KvType type, Io io = {}, const Before* before = nullptr)
      : s_(side), c_(c), io_(io), before_(before) {
    blocks_ = (kTokens + c.block_size - 1) / c.block_size;
    EXPECT_NE(blocks_ * kSeqs % 7, 0) << "block() would give blocks twice";
    shape_ = {c.n_kv_heads, c.key_dim,   c.value_dim, c.latent, c.block_size, int64_t{blocks_} * kSeqs,
              type.dtype,   type.packing};
    const auto floats = static_cast<int64_t>(s_.b.kv_block_bytes(shape_) / 4 + 1) * shape_.n_blocks;
    cache_ = s_.floats(std::vector<float>(floats, std::numeric_limits<float>::quiet_NaN()));
  }

  // Adds lengths[s] tokens to each sequence. Returns attention's output for them and for padding rows. attend false:
  // only writes keys and values. keys_most: the layout's.
  std::vector<double> step(const std::vector<int>& lengths, int fillers = 0, bool attend = true, int keys_most = 0) {
    std::vector<int32_t> positions, slots, query_start = {0}, kv_len, table;
    for (int seq = 0; seq < kSeqs; ++seq) {
      if (lengths[seq] == 0) continue;
      for (int i = 0; i < lengths[seq]; ++i) {
        const int position = done_[seq]++;
        positions.push_back(position);
        slots.push_back(block(seq, position / c_.block_size) * c_.block_size + position % c_.block_size);
      }
      query_start.push_back(static_cast<int32_t>(positions.size()));
      kv_len.push_back(done_[seq]);
      for (int b = 0; b < table_cols(); ++b) table.push_back(b * c_.block_size < done_[seq] ? block(seq, b) : -1);
    }
    for (int i = 0; i < fillers; ++i) {
      positions.push_back(0);
      slots.push_back(-1);
      query_start.push_back(static_cast<int32_t>(positions.size()));
      kv_len.push_back(0);
      table.insert(table.end(), table_cols(), -1);
    }
    const auto n = static_cast<int64_t>(positions.size()), n_seqs = static_cast<int64_t>(kv_len.size());
    const KvLayer kv{shape_, cache_.data};
    const uint32_t seed = 100 * ++steps_;
    const Tensor k = s_.matrix(DType::kF32, n, int64_t{c_.n_kv_heads} * c_.key_dim, seed, {.gap = 3});
    const Tensor v = s_.matrix(DType::kF32, n, int64_t{c_.n_kv_heads} * c_.value_dim, seed + 1, {.gap = 2});
    const Tensor where = s_.ints(slots);
    s_.b.kv_write(kv, k, c_.latent ? Tensor{} : v, where);
    if (!attend) return {};
    const Tensor out = s_.zeros(io_.out, n, int64_t{c_.n_heads} * c_.value_dim);
    StepLayout layout{static_cast<int>(n),
                      static_cast<int>(n_seqs),
                      s_.ints(positions),
                      where,
                      s_.ints(query_start),
                      s_.ints(kv_len),
                      s_.ints(table).reshape({n_seqs, table_cols()})};
    layout.keys_most = keys_most;
    const float* sinks = c_.sinks ? s_.matrix(DType::kF32, 1, c_.n_heads, 7).f32() : nullptr;
    const AttentionParams params{c_.n_heads, 0.3f, c_.window, c_.chunk, sinks};
    if (before_ != nullptr) {
      const Tensor qkv = s_.matrix(DType::kF32, n, (c_.n_heads + 2 * int64_t{c_.n_kv_heads}) * c_.key_dim, seed + 2);
      s_.b.attention_of_qkv({qkv_params(n), params}, qkv, kv, layout, out);
    } else {
      const Tensor q = s_.matrix(io_.q, n, int64_t{c_.n_heads} * c_.key_dim, seed + 2, {.gap = io_.gap});
      s_.b.attention(params, q, kv, layout, out);
    }
    return s_.get(out);
  }

  // Columns that the block table has beyond those that a sequence can fill.
  int spare_cols = 0;

 private:
  int table_cols() const { return blocks_ + spare_cols; }
  QkvParams qkv_params(int64_t n) {
    const int heads = before_->norm == QkvNorm::kWhole ? c_.n_heads : 1;
    const auto weights = [&](uint32_t seed) { return s_.matrix(DType::kF32, 1, heads * c_.key_dim, seed).f32(); };
    QkvParams p{.n_heads = c_.n_heads, .n_kv_heads = c_.n_kv_heads, .head_dim = c_.key_dim, .norm = before_->norm};
    if (before_->norm != QkvNorm::kNone) p.q_norm = weights(8), p.k_norm = weights(9);
    if (before_->turned > 0) p.rope.cos_sin = s_.matrix(DType::kF32, kTokens, before_->turned, 10).f32();
    p.rope.dims = before_->turned, p.rope.interleaved = before_->interleaved;
    if (before_->factors) p.factors = s_.matrix(DType::kF32, 1, n, 11).f32();
    return p;
  }
  int block(int seq, int index) const { return (index * kSeqs + seq) * 7 % (blocks_ * kSeqs); }

  Side& s_;
  const AttentionCase& c_;
  const Io io_;
  const Before* const before_;
  KvShape shape_;
  Tensor cache_;
  int blocks_ = 0, done_[kSeqs] = {};
  uint32_t steps_ = 0;
};

inline std::vector<std::string_view> variants_of(const Backend& backend, std::string_view op) {
  std::vector<std::string_view> names;
  for (const KernelInfo& family : backend.kernels()) {
    for (const auto& variant : family.variants) {
      if (family.op == op) names.push_back(variant.name);
    }
  }
  return names;
}

// The first number of [tokens][heads][dim] that is wrong, and how many are. Empty: none.
inline std::string first_wrong(const std::vector<double>& got, const std::vector<double>& expected,
                               const AttentionCase& c, double tolerance) {
  if (got.size() != expected.size()) return "another size";
  size_t wrong = 0, first = 0;
  std::set<size_t> tokens, heads, elements;
  const size_t dim = static_cast<size_t>(c.value_dim), row = dim * static_cast<size_t>(c.n_heads);
  for (size_t i = 0; i < got.size(); ++i) {
    if (std::abs(got[i] - expected[i]) <= tolerance) continue;
    if (wrong++ == 0) first = i;
    tokens.insert(i / row), heads.insert(i % row / dim), elements.insert(i % dim);
  }
  if (wrong == 0) return "";
  const auto range = [](const std::set<size_t>& s) {
    return absl::StrCat(s.size(), " in ", *s.begin(), "..", *s.rbegin());
  };
  return absl::StrCat("token ", first / row, ", head ", first % row / dim, ", element ", first % dim, ": ", got[first],
                      ", not ", expected[first], "; ", wrong, " of ", got.size(), " are wrong: tokens ", range(tokens),
                      ", heads ", range(heads), ", elements ", range(elements));
}

// A token of each sequence on growing contexts.
inline std::vector<std::vector<double>> decode(Conversation& conversation, int fillers) {
  constexpr int kContexts[][kSeqs] = {{1, 15, 16},     {17, 127, 128},    {129, 255, 256},
                                      {257, 511, 700}, {300, 1024, 1025}, {1030, 1500, 2100}};
  std::vector<std::vector<double>> outputs;
  std::vector<int> done(kSeqs, 0);
  for (const auto& contexts : kContexts) {
    std::vector<int> before;
    for (int seq = 0; seq < kSeqs; ++seq) before.push_back(contexts[seq] - 1 - done[seq]);
    conversation.step(before, 0, false);
    outputs.push_back(conversation.step({1, 1, 1}, fillers));
    done.assign(std::begin(contexts), std::end(contexts));
  }
  return outputs;
}

// Decode steps of every variant against the reference's. Skips without a GPU.
inline void expect_reference_decodes(const AttentionCase& c, KvType type, Io io, const Before* before) {
  auto made = make_cuda_backend({.threads = 2});
  if (!made.ok()) GTEST_SKIP() << made.status().message();
  const auto cuda = *std::move(made);
  const auto reference = make_reference_backend({}).value();
  for (Backend* b : {cuda.get(), reference.get()}) ASSERT_TRUE(b->reserve(kLimits).ok());
  Side here(*cuda), there(*reference);
  Conversation expected(there, c, type, io, before);
  const std::vector<std::vector<double>> outputs = decode(expected, 0);
  const std::string_view op = before != nullptr ? "attention_of_qkv" : "attention";
  for (const std::string_view variant : variants_of(*cuda, op)) {
    SCOPED_TRACE(variant);
    ASSERT_TRUE(force_kernel(*cuda, op, variant));
    Conversation got(here, c, type, io, before);
    const std::vector<std::vector<double>> all = decode(got, before != nullptr ? kFillers : 0);
    ASSERT_TRUE(cuda->health().ok()) << cuda->health();
    for (size_t step = 0; step < all.size(); ++step) {
      const auto &a = all[step], &b = outputs[step];
      for (size_t i = 0; i < a.size(); ++i) {
        ASSERT_NEAR(a[i], i < b.size() ? b[i] : 0.0, 3e-2) << "step " << step << ", element " << i;
      }
    }
  }
}

inline bool has_run(const Backend& backend, std::string_view variant) {
  for (const KernelInfo& family : backend.kernels()) {
    for (const auto& v : family.variants) {
      if (family.op == "attention" && v.name == variant) return v.ran;
    }
  }
  return false;
}

}  // namespace polymath::backend
