#include "backend/cpu/attention.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "backend/cpu/cpu_backend.h"
#include "backend/test_values.h"

namespace polymath::backend {
namespace {

constexpr StepLimits kLimits{.tokens_max = 400,
                             .seqs_max = 4,
                             .blocks_max = 40,
                             .hidden_max = 100,
                             .pairs_max = 400,
                             .intermediate_max = 10,
                             .attention_max = 1300,
                             .key_dim_max = 160};

// Two sequences that grow over several steps, in shuffled blocks.
class Conversation {
 public:
  Conversation(Backend& backend, const AttentionCase& c, KvType type) : backend_(backend), c_(c) {
    shape_ = {c.n_kv_heads, c.key_dim, c.value_dim, c.latent, c.block_size, 60, type.dtype, type.packing};
    memory_.resize(60 * backend.kv_block_bytes(shape_) / 4);
    leave_stale_tokens();
    for (int s = 0; s < kSeqs; ++s) {
      keys_.emplace_back(DType::kF32, kTokens, c.n_kv_heads * c.key_dim).randomize(40 + s);
      values_.emplace_back(DType::kF32, kTokens, c.n_kv_heads * c.value_dim).randomize(50 + s);
      queries_.emplace_back(DType::kF32, kTokens, c.n_heads * c.key_dim).randomize(60 + s);
      outs_.emplace_back(DType::kF32, kTokens, c.n_heads * c.value_dim);
    }
    for (int i = 0; i < c.n_heads; ++i) sinks_.push_back(0.3f * static_cast<float>(i) - 0.5f);
  }

  // lengths[s] more tokens of each sequence.
  void step(const std::vector<int>& lengths) {
    std::vector<int32_t> positions, slots, query_start = {0}, kv_len, table;
    int n_seqs = 0, n = 0;
    std::vector<std::pair<int, int>> rows;
    for (int s = 0; s < kSeqs; ++s) {
      if (lengths[s] == 0) continue;
      for (int i = 0; i < lengths[s]; ++i) {
        const int position = done_[s] + i;
        rows.emplace_back(s, position);
        positions.push_back(position);
        slots.push_back(block(s, position / c_.block_size) * c_.block_size + position % c_.block_size);
      }
      n += lengths[s];
      done_[s] += lengths[s];
      query_start.push_back(n);
      kv_len.push_back(done_[s]);
      for (int b = 0; b < 30; ++b) table.push_back(b * c_.block_size < done_[s] ? block(s, b) : -1);
      ++n_seqs;
    }
    TestMatrix q = take(queries_, rows), k = take(keys_, rows), v = take(values_, rows);
    TestMatrix out(DType::kF32, n, c_.n_heads * c_.value_dim);
    const KvLayer kv{shape_, memory_.data()};
    backend_.kv_write(kv, k.tensor(), c_.latent ? Tensor{} : v.tensor(), ints(slots));
    const StepLayout layout{n,
                            n_seqs,
                            ints(positions),
                            ints(slots),
                            ints(query_start),
                            ints(kv_len),
                            {DType::kI32, {n_seqs, 30}, table.data()}};
    backend_.attention({c_.n_heads, kScale, c_.window, c_.chunk, c_.sinks ? sinks_.data() : nullptr}, q.tensor(), kv,
                       layout, out.tensor());
    out.pull();
    for (int i = 0; i < n; ++i) {
      const auto [s, position] = rows[i];
      std::copy_n(&out.values[i * out.stride], out.n_cols, &outs_[s].values[position * out.stride]);
    }
  }

  void check() const {
    for (int s = 0; s < kSeqs; ++s) {
      for (int position = 0; position < done_[s]; position += 1 + position / 32) {
        for (int h = 0; h < c_.n_heads; ++h) ASSERT_NO_FATAL_FAILURE(check_head(s, position, h));
      }
    }
  }
  const std::vector<TestMatrix>& outs() const { return outs_; }

 private:
  static constexpr int kSeqs = 2, kTokens = 300;
  static constexpr float kScale = 0.7f;

  // What earlier sequences left in memory must not be read: NaN would show it.
  void leave_stale_tokens() {
    std::vector<float> stale(static_cast<size_t>(c_.block_size) * c_.n_kv_heads * std::max(c_.key_dim, c_.value_dim),
                             std::numeric_limits<float>::quiet_NaN());
    const Tensor k{DType::kF32, {c_.block_size, int64_t{c_.n_kv_heads} * c_.key_dim}, stale.data()};
    const Tensor v{DType::kF32, {c_.block_size, int64_t{c_.n_kv_heads} * c_.value_dim}, stale.data()};
    std::vector<int32_t> slots(c_.block_size);
    for (int b = 0; b < 60; ++b) {
      for (int i = 0; i < c_.block_size; ++i) slots[i] = b * c_.block_size + i;
      backend_.kv_write({shape_, memory_.data()}, k, c_.latent ? Tensor{} : v, ints(slots));
    }
  }

  void check_head(int s, int position, int h) const {
    const double slack = shape_.dtype == DType::kBf16 ? 1e-2 : 1e-5;
    const std::vector<double> expected = exact(s, position, h);
    for (int d = 0; d < c_.value_dim; ++d) {
      ASSERT_NEAR(outs_[s].at(position, h * c_.value_dim + d), expected[d], slack)
          << "sequence " << s << " position " << position << " head " << h << " dim " << d;
    }
  }

  int block(int seq, int index) const { return (7 * index + 3 + seq * 29) % 59; }

  TestMatrix take(const std::vector<TestMatrix>& from, const std::vector<std::pair<int, int>>& rows) const {
    TestMatrix out(DType::kF32, static_cast<int64_t>(rows.size()), from[0].n_cols, 3);
    for (size_t i = 0; i < rows.size(); ++i) {
      std::copy_n(&from[rows[i].first].values[rows[i].second * from[0].stride], out.n_cols,
                  &out.values[i * out.stride]);
    }
    quant::kF32.quantize(out.values.data(), out.bytes.data(), static_cast<int64_t>(out.values.size()));
    return out;
  }

  // A head of a row as the cache keeps it.
  std::vector<double> kept(const TestMatrix& from, int row, int head, int dim) const {
    std::vector<double> out;
    float largest = 0;
    for (int d = 0; d < dim; ++d) largest = std::max(largest, std::abs(from.at(row, head * dim + d)));
    for (int d = 0; d < dim; ++d) {
      const float v = from.at(row, head * dim + d);
      if (shape_.packing == KvPacking::kNone) {
        out.push_back(rounded(v, shape_.dtype));
        continue;
      }
      const KvCodec& codec = kv_codec(shape_.packing);
      const float scale = kv_scale(largest, codec);
      out.push_back(static_cast<double>(scale) * codec.decode(codec.encode(v / scale)));
    }
    return out;
  }

  std::vector<double> exact(int s, int position, int h) const {
    int first = 0;
    if (c_.window > 0) first = std::max(first, position - c_.window + 1);
    if (c_.chunk > 0) first = std::max(first, position - position % c_.chunk);
    const int kv_head = h / (c_.n_heads / c_.n_kv_heads);
    std::vector<double> out(c_.value_dim);
    double total = c_.sinks ? std::exp(sinks_[h]) : 0;
    for (int t = first; t <= position; ++t) {
      double score = 0;
      const std::vector<double> key = kept(keys_[s], t, kv_head, c_.key_dim);
      const std::vector<double> value = c_.latent ? key : kept(values_[s], t, kv_head, c_.value_dim);
      for (int d = 0; d < c_.key_dim; ++d) {
        score += rounded(queries_[s].at(position, h * c_.key_dim + d), shape_.dtype) * key[static_cast<size_t>(d)];
      }
      const double p = std::exp(score * kScale);
      total += p;
      for (int d = 0; d < c_.value_dim; ++d) out[d] += p * value[static_cast<size_t>(d)];
    }
    for (double& v : out) v /= total;
    return out;
  }

  Backend& backend_;
  const AttentionCase& c_;
  KvShape shape_;
  std::vector<float> memory_, sinks_;
  std::vector<TestMatrix> keys_, values_, queries_, outs_;
  int done_[kSeqs] = {};
};

class CpuAttention : public testing::TestWithParam<const char*> {};
INSTANTIATE_TEST_SUITE_P(Isa, CpuAttention, testing::Values("portable", "avx2", "avx512", "amx"),
                         [](const auto& info) { return std::string(info.param); });

TEST_P(CpuAttention, IsSoftmaxOverTheKeysSeen) {
  auto made = make_cpu_backend({.threads = 2, .isa = GetParam()});
  if (!made.ok()) GTEST_SKIP() << made.status();
  Backend& backend = **made;
  ASSERT_TRUE(backend.reserve(kLimits).ok());
  for (const char* const name : {"float32", "bfloat16", "fp8_e4m3", "fp8_e5m2", "int8"}) {
    const KvType type = *KvType::named(name);
    for (const AttentionCase& c : kAttentionCases) {
      SCOPED_TRACE(testing::Message() << c.what << " " << name);
      Conversation pieces(backend, c, type), whole(backend, c, type), alone(backend, c, type);
      for (const std::vector<int>& lengths : {std::vector<int>{1, 0}, {30, 129}, {1, 1}, {1, 1}, {170, 1}, {0, 8}}) {
        pieces.step(lengths);
      }
      pieces.check();
      // The bits depend neither on how a prompt is cut nor on which sequences share the step.
      whole.step({203, 140});
      alone.step({203, 0});
      alone.step({0, 140});
      for (int s = 0; s < 2; ++s) {
        EXPECT_EQ(pieces.outs()[s].values, whole.outs()[s].values);
        EXPECT_EQ(pieces.outs()[s].values, alone.outs()[s].values);
      }
      if (HasFailure()) return;
    }
  }
}

TEST(CpuKv, RefusesBlocksItHasNoLayoutFor) {
  const auto backend = make_cpu_backend({.threads = 1}).value();
  for (const int block_size : {0, 8, 24, 144}) {
    const absl::Status status = backend->check_kv({1, 16, 16, false, block_size, 1, DType::kF32});
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << block_size;
  }
  EXPECT_FALSE(backend->check_kv({1, 16, 16, false, 16, 1, DType::kF16}).ok());
  EXPECT_TRUE(backend->check_kv({1, 16, 16, false, 96, 1, DType::kBf16}).ok());
}

}  // namespace
}  // namespace polymath::backend
