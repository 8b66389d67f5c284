// Batch-invariant CUDA ops: rows computed alone, in parts of any size, and all together have the same bits. Skipped,
// with the reason, without a GPU. That the values are right is what the comparisons with the reference say.

#include <gtest/gtest.h>

#include <cstring>
#include <functional>
#include <memory>
#include <string>

#include "backend/cuda/cuda_backend.h"
#include "backend/cuda/cuda_side_test.h"
#include "backend/reference/reference_backend.h"

namespace polymath::backend {
namespace {

constexpr int64_t kRowsMax = 1100, kPairsMax = 4400;  // of the tests

StepLimits limits() {
  StepLimits l{.tokens_max = 4800,
               .seqs_max = 64,
               .blocks_max = 256,
               .hidden_max = 20000,
               .logits_max = 4096,
               .pairs_max = kPairsMax,
               .intermediate_max = 1024,
               .expert_io_max = 512,
               .attention_max = 4096,
               .key_dim_max = 640};
  l.experts = {{64, 512, 1024, kPairsMax, DType::kBf16},
               {1, 512, 1024, kRowsMax, DType::kBf16},
               {2, 64, 9216, kRowsMax * 2, DType::kBf16},
               {6, 40, 48, kPairsMax, DType::kF32}};
  return l;
}

// Results of rows [begin, begin + n): the elements of each, one row after another.
using RowsRun = std::function<std::vector<double>(Side& side, int64_t begin, int64_t n)>;

// The first element with other bits; a.size(): none.
size_t first_different(const std::vector<double>& a, const std::vector<double>& b) {
  size_t i = 0;
  while (i < a.size() && std::memcmp(&a[i], &b[i], sizeof(double)) == 0) ++i;
  return i;
}

class CudaInvariance : public testing::Test {
 protected:
  void SetUp() override {
    auto made = make_cuda_backend({.threads = 2}, true);
    if (!made.ok()) GTEST_SKIP() << made.status().message();
    cuda_ = *std::move(made);
    const absl::Status reserved = cuda_->reserve(limits());
    ASSERT_TRUE(reserved.ok()) << reserved;
  }

  // Rows alone and in runs of many sizes, from several places on, against all `rows` together.
  void expect_same_bits(const RowsRun& run, int64_t rows) {
    Side side(*cuda_);
    const std::vector<double> all = run(side, 0, rows);
    const size_t width = all.size() / static_cast<size_t>(rows);
    constexpr int64_t kSizes[] = {1,  2,  3,  7,  8,   9,   15,  16,  17,  31,  32,  33,
                                  48, 63, 64, 65, 100, 127, 128, 129, 250, 600, 1000};
    for (const int64_t n : kSizes) {
      for (const int64_t begin : {int64_t{0}, rows / 3, rows - n}) {
        if (begin < 0 || begin + n > rows) continue;
        Side part(*cuda_);
        const std::vector<double> got = run(part, begin, n);
        ASSERT_TRUE(cuda_->health().ok()) << cuda_->health();
        const auto first = all.begin() + begin * static_cast<ptrdiff_t>(width);
        const std::vector<double> expected(first, first + n * static_cast<ptrdiff_t>(width));
        ASSERT_EQ(got.size(), expected.size());
        const size_t wrong = first_different(got, expected);
        ASSERT_EQ(wrong, got.size()) << n << " rows from " << begin << ": row " << wrong / width << ", element "
                                     << wrong % width << ": " << got[wrong] << ", together " << expected[wrong];
      }
    }
  }

  void expect_all_ran(std::string_view op) const {
    for (const KernelInfo& family : cuda_->kernels()) {
      for (const KernelInfo::Variant& variant : family.variants) {
        EXPECT_TRUE(family.op != op || variant.ran) << op << ": no case is for " << variant.name;
      }
    }
  }

  std::unique_ptr<Backend> cuda_;
};

TEST_F(CudaInvariance, Linear) {
  struct Case {
    DType type;
    int64_t rows, cols;
  };
  const Case cases[] = {{DType::kBf16, 48, 40},    {DType::kBf16, 33, 7},      {DType::kBf16, 200, 2056},
                        {DType::kBf16, 5120, 640}, {DType::kBf16, 14000, 136}, {DType::kBf16, 1, 1},
                        {DType::kBf16, 640, 5000}, {DType::kF16, 40, 72},      {DType::kF32, 40, 72}};
  for (const Case& c : cases) {
    for (const int how : {0, 1, 2}) {
      SCOPED_TRACE(testing::Message() << tensor::dtype_name(c.type) << " " << c.rows << " x " << c.cols << " " << how);
      Side weights(*cuda_);
      const Weight& w = weights.weight({.rows = c.rows, .cols = c.cols}, c.type, 1);
      const float* bias = weights.matrix(DType::kF32, 1, c.rows, 2).f32();
      const LinearEpilogue epilogues[] = {
          {}, {.bias = bias, .scale = 0.5f, .clamp = 3}, {.accumulate = true, .scale = 0.7f}};
      const DType act = how == 1 ? DType::kF32 : cuda_->activation_dtype(c.type);
      const Tensor x = weights.matrix(act, kRowsMax, c.cols, 3);
      expect_same_bits(
          [&](Side& s, int64_t begin, int64_t n) {
            const Tensor y = s.matrix(DType::kF32, how == 2 ? kRowsMax : n, c.rows, 4);
            const Tensor rows = how == 2 ? y.slice_rows(begin, n) : y;
            s.b.linear(x.slice_rows(begin, n), w, epilogues[how], rows);
            return s.get(rows);
          },
          c.rows > 4000 ? 300 : kRowsMax);
      if (HasFatalFailure()) return;
    }
  }
  expect_all_ran("linear");
}

TEST_F(CudaInvariance, BatchedLinear) {
  const WeightShape shapes[] = {{16, 512, 128}, {16, 128, 512}, {3, 40, 200}, {5, 24, 8}, {2, 40, 600}};
  for (const WeightShape& shape : shapes) {
    Side side(*cuda_);
    const Weight& w = side.weight(shape, DType::kBf16, 1);
    const Tensor x = side.matrix(DType::kF32, kRowsMax, shape.groups * shape.cols, 2);
    expect_same_bits(
        [&](Side& s, int64_t begin, int64_t n) {
          const Tensor y = s.zeros(DType::kF32, n, shape.groups * shape.rows);
          s.b.batched_linear(x.slice_rows(begin, n), shape.cols, w, shape.rows, y);
          return s.get(y);
        },
        kRowsMax);
    if (HasFatalFailure()) return;
  }
  expect_all_ran("batched_linear");
}

// Expert (t * t + choice) % n of each token, some dropped; of tokens [begin, begin + n).
struct Choices {
  Choices(Side& s, int64_t begin, int64_t n, int64_t top_k, int n_experts) {
    std::vector<int32_t> ids;
    std::vector<float> weights;
    for (int64_t i = begin * top_k; i < (begin + n) * top_k; ++i) {
      const int64_t token = i / top_k, choice = i % top_k;
      ids.push_back(n_experts > 1 && i % 11 == 5 ? -1 : static_cast<int32_t>((token * token + choice) % n_experts));
      weights.push_back(0.1f + 0.05f * static_cast<float>(i % 9));
    }
    routing = {s.ints(ids).reshape({n, top_k}), s.floats(weights).reshape({n, top_k})};
    groups = {s.ints(std::vector<int32_t>(n_experts + 1)), s.ints(std::vector<int32_t>(n * top_k)), {}};
    s.b.group_by_expert(routing, n_experts, groups);
  }
  Routing routing;
  ExpertGroups groups;
};

struct MlpCase {
  DType type;
  GluKind glu;
  int n_experts;
  int64_t top_k, hidden, intermediate, shared;  // shared 0: none
  bool bias, on_input;
};
constexpr MlpCase kMlps[] = {{DType::kBf16, GluKind::kSilu, 64, 4, 512, 128, 0, false, false},
                             {DType::kBf16, GluKind::kSilu, 8, 2, 256, 96, 0, false, false},
                             {DType::kF16, GluKind::kSilu, 8, 2, 256, 96, 0, false, false},
                             {DType::kBf16, GluKind::kSwigluClamp, 5, 2, 264, 72, 0, true, false},
                             {DType::kBf16, GluKind::kSilu, 5, 1, 64, 32, 0, false, true},
                             {DType::kBf16, GluKind::kGelu, 4, 2, 128, 64, 0, false, false},
                             {DType::kBf16, GluKind::kSilu, 2, 2, 64, 9216, 0, false, false},
                             {DType::kBf16, GluKind::kSilu, 6, 2, 40, 41, 0, false, false},
                             {DType::kBf16, GluKind::kSilu, 3, 2, 333, 20, 0, true, false},
                             {DType::kF32, GluKind::kSilu, 6, 2, 40, 48, 0, false, false},
                             {DType::kBf16, GluKind::kSilu, 1, 1, 512, 1024, 0, false, false},
                             {DType::kBf16, GluKind::kGelu, 1, 1, 128, 64, 0, true, false},
                             {DType::kBf16, GluKind::kSilu, 60, 4, 512, 128, 512, false, false},
                             {DType::kF16, GluKind::kSilu, 16, 2, 128, 72, 640, false, false},
                             {DType::kBf16, GluKind::kSwigluClamp, 16, 4, 128, 72, 640, true, false},
                             {DType::kBf16, GluKind::kSilu, 6, 2, 40, 41, 48, false, false}};

TEST_F(CudaInvariance, Experts) {
  for (const MlpCase& c : kMlps) {
    SCOPED_TRACE(testing::Message() << tensor::dtype_name(c.type) << " experts " << c.n_experts << " hidden "
                                    << c.hidden << " intermediate " << c.intermediate << " shared " << c.shared);
    Side side(*cuda_);
    const auto networks = [&](int64_t n, int64_t intermediate, GluKind glu, uint32_t seed) -> ExpertMlp {
      const WeightShape up{.groups = n, .rows = 2 * intermediate, .cols = c.hidden, .glu = true};
      const WeightShape back{.groups = n, .rows = c.hidden, .cols = intermediate};
      return {.gate_up = &side.weight(up, c.type, seed, 0.3f),
              .down = &side.weight(back, c.type, seed + 1, 0.3f),
              .glu = {glu},
              .scale = 0.7f};
    };
    ExpertMlp mlp = networks(c.n_experts, c.intermediate, c.glu, 11), shared;
    mlp.weight_on_input = c.on_input;
    if (c.bias) {
      mlp.gate_up_bias = side.matrix(DType::kF32, c.n_experts, 2 * c.intermediate, 13).f32();
      mlp.down_bias = side.matrix(DType::kF32, c.n_experts, c.hidden, 14).f32();
    }
    if (c.shared > 0) shared = networks(1, c.shared, GluKind::kSilu, 21);
    const Tensor x = side.matrix(side.b.activation_dtype(c.type), kRowsMax, c.hidden, 15);
    expect_same_bits(
        [&](Side& s, int64_t begin, int64_t n) {
          const Choices choices(s, begin, n, c.top_k, c.n_experts), to_one(s, begin, n, 1, 1);
          const Tensor out = s.matrix(DType::kF32, kRowsMax, c.hidden, 16).slice_rows(begin, n);
          const Tensor rows = x.slice_rows(begin, n);
          if (c.shared > 0) {
            s.b.expert_mlp_with_shared({&mlp, choices.routing, choices.groups},
                                       {&shared, to_one.routing, to_one.groups}, rows, out);
          } else {
            s.b.expert_mlp(mlp, rows, choices.routing, choices.groups, out);
          }
          return s.get(out);
        },
        std::min(kRowsMax, kPairsMax / c.top_k));
    if (HasFatalFailure()) return;
  }
  expect_all_ran("expert_mlp");
  expect_all_ran("expert_mlp_with_shared");
}

struct RoutingCase {
  const routing::Router* router;
  DType dtype;
  int cols;
};
std::vector<RoutingCase> routing_cases() {
  std::vector<RoutingCase> all;
  for (const auto& router : routing::routers()) {
    for (const DType dtype : {DType::kF32, DType::kBf16}) {
      for (const int cols : {64, 2048}) all.push_back({&router, dtype, cols});
    }
  }
  return all;
}

routing::RouterConfig config_of(const routing::Router& router) {
  routing::RouterConfig config{.n_experts = 60, .top_k = 4};
  if (router.name == "switch_top1") config.top_k = 1;
  if (router.name == "sparsemixer") config.top_k = 2;
  if (router.name.find("group") != std::string_view::npos) config.n_groups = 4, config.top_groups = 2;
  return config;
}

// Ids, weights and the gate's weight of each of the tokens from `first` on; `x`: theirs.
std::vector<double> routed(Side& s, RouteExperts params, const Tensor& x, int64_t first) {
  const int64_t n = x.rows(), top_k = params.config.top_k, n_experts = params.config.n_experts;
  std::vector<int32_t> tokens;
  for (int64_t i = first; i < first + n; ++i) tokens.push_back(static_cast<int32_t>(31 * i));
  params.gate_out = {s.zeros(DType::kI32, n, 1), s.zeros(DType::kF32, n, 1)};
  const Routing out{s.zeros(DType::kI32, n, top_k), s.zeros(DType::kF32, n, top_k)};
  const ExpertGroups groups{s.ints(std::vector<int32_t>(n_experts + 1)), s.ints(std::vector<int32_t>(n * top_k)), {}};
  s.b.route_experts(params, x, s.ints(tokens), s.zeros(DType::kF32, n, n_experts), {out, groups});
  const std::vector<double> ids = s.get(out.ids), weights = s.get(out.weights), gates = s.get(params.gate_out.weights);
  std::vector<double> rows;
  for (int64_t i = 0; i < n; ++i) {
    rows.insert(rows.end(), ids.begin() + i * top_k, ids.begin() + (i + 1) * top_k);
    rows.insert(rows.end(), weights.begin() + i * top_k, weights.begin() + (i + 1) * top_k);
    rows.push_back(gates[i]);
  }
  return rows;
}

TEST_F(CudaInvariance, Routes) {
  constexpr int64_t kRows = 700;
  for (const auto& [router, dtype, cols] : routing_cases()) {
    SCOPED_TRACE(testing::Message() << router->name << " " << tensor::dtype_name(dtype) << " " << cols);
    const routing::RouterConfig config = config_of(*router);
    Side side(*cuda_);
    const Weight& w = side.weight({1, config.n_experts, cols}, dtype, 12, 0.2f);
    const RouteExperts gate{.router = &side.weight({1, 1, cols}, dtype, 14, 0.2f),
                            .config = {.n_experts = 1, .top_k = 1},
                            .route = routing::find_router("sigmoid_topk")->route};
    const Tensor x = side.matrix(DType::kBf16, kRows, cols, 11);
    const float* bias = side.matrix(DType::kF32, 1, config.n_experts, 13, {.scale = 0.1f}).f32();
    const RouteExperts params{&w, bias, bias, config, router->route, &gate};
    expect_same_bits(
        [&](Side& s, int64_t begin, int64_t n) { return routed(s, params, x.slice_rows(begin, n), begin); }, kRows);
    if (HasFatalFailure()) return;
  }
  expect_all_ran("route_experts");
}

// --- attention ---

constexpr AttentionCase kKinds[] = {
    {"odd dims", 2, 1, 23, 17, 16, false, 0, 0, false},
    {"32", 8, 4, 32, 32, 16, false, 0, 0, false},
    {"64, window and sinks", 14, 2, 64, 64, 16, false, 150, 0, true},
    {"96", 6, 2, 96, 96, 24, false, 0, 0, false},
    {"128, eight a kv head", 32, 4, 128, 128, 16, false, 0, 0, false},
    {"128, window and sinks", 8, 2, 128, 128, 16, false, 50, 0, true},
    {"128, one head a kv head, chunk", 4, 4, 128, 128, 16, false, 0, 200, false},
    {"64, forty heads a kv head", 40, 1, 64, 64, 8, false, 0, 0, false},
    {"256", 4, 2, 256, 256, 16, false, 0, 0, false},
    {"latent of DeepSeek", 16, 1, 576, 512, 16, true, 0, 0, false},
    {"latent, twenty heads, window", 20, 1, 576, 512, 16, true, 90, 0, false},
    {"latent, odd", 3, 1, 41, 19, 5, true, 0, 0, false},
};

// Sequences whose keys are all in the cache; a step then asks for any runs of their queries.
class Attended {
 public:
  static constexpr int kSeqs = 5, kLength = 2300;
  struct Run {
    int seq, begin, n;
  };

  Attended(Side& side, const AttentionCase& c, KvType type) : s_(side), c_(c) {
    blocks_ = (kLength + c.block_size - 1) / c.block_size;
    shape_ = {c.n_kv_heads, c.key_dim,   c.value_dim, c.latent, c.block_size, int64_t{blocks_} * kSeqs,
              type.dtype,   type.packing};
    cache_ = s_.zeros(DType::kF32, 1, static_cast<int64_t>(s_.b.kv_block_bytes(shape_) / 4 + 1) * shape_.n_blocks);
    constexpr int64_t kRows = int64_t{kSeqs} * kLength;
    q_ = s_.matrix(DType::kF32, kRows, int64_t{c.n_heads} * c.key_dim, 1);
    sinks_ = c.sinks ? s_.matrix(DType::kF32, 1, c.n_heads, 7).f32() : nullptr;
    std::vector<int32_t> slots;
    for (int i = 0; i < kRows; ++i) slots.push_back(slot(i / kLength, i % kLength));
    const Tensor k = s_.matrix(DType::kF32, kRows, int64_t{c.n_kv_heads} * c.key_dim, 2);
    const Tensor v = s_.matrix(DType::kF32, kRows, int64_t{c.n_kv_heads} * c.value_dim, 3);
    s_.b.kv_write({shape_, cache_.data}, k, c.latent ? Tensor{} : v, s_.ints(slots));
  }

  // The outputs of the runs' queries.
  std::vector<double> step(const std::vector<Run>& runs) {
    Side s(s_.b);
    std::vector<int32_t> positions, starts = {0}, lens, table, rows;
    for (const Run& run : runs) {
      for (int i = run.begin; i < run.begin + run.n; ++i) {
        positions.push_back(i);
        rows.push_back(run.seq * kLength + i);
      }
      starts.push_back(static_cast<int32_t>(positions.size()));
      lens.push_back(run.begin + run.n);
      for (int b = 0; b < blocks_; ++b) table.push_back(block(run.seq, b));
    }
    const auto n = static_cast<int64_t>(rows.size()), n_seqs = static_cast<int64_t>(runs.size());
    const Tensor q = s.zeros(DType::kF32, n, q_.cols()),
                 out = s.zeros(DType::kF32, n, int64_t{c_.n_heads} * c_.value_dim);
    s.b.gather_rows(q_, s.ints(rows), q);
    StepLayout layout{.n_tokens = static_cast<int>(n), .n_seqs = static_cast<int>(n_seqs)};
    layout.positions = s.ints(positions), layout.query_start = s.ints(starts), layout.kv_len = s.ints(lens);
    layout.block_table = s.ints(table).reshape({n_seqs, blocks_});
    s.b.attention({c_.n_heads, 0.3f, c_.window, c_.chunk, sinks_}, q, {shape_, cache_.data}, layout, out);
    return s.get(out);
  }

 private:
  int block(int seq, int index) const { return (index * kSeqs + seq) * 7 % (blocks_ * kSeqs); }
  int slot(int seq, int position) const {
    return block(seq, position / c_.block_size) * c_.block_size + position % c_.block_size;
  }

  Side& s_;
  const AttentionCase& c_;
  KvShape shape_;
  Tensor cache_, q_;
  const float* sinks_ = nullptr;
  int blocks_ = 0;
};

using Runs = std::vector<Attended::Run>;

// Decodes of one and several sequences, chunks of many sizes, and both in one step.
std::vector<Runs> steps() {
  std::vector<Runs> all;
  for (const int at : {0, 1, 15, 63, 64, 127, 128, 129, 300, 511, 512, 699, 1023, 1024, 1025, 1500, 2299}) {
    all.push_back({{1, at, 1}});
    all.push_back({{0, at, 1}, {1, 2299 - at, 1}, {2, at / 2, 1}, {3, at, 1}, {4, 5, 1}});
    all.push_back({{2, at, 1}, {3, 100, 250}, {1, at / 3, 3}});
  }
  for (const int n : {2, 3, 5, 16, 17, 64, 100, 127, 128, 333}) {
    for (const int begin : {0, 1, 40, 128, 350, 1200}) all.push_back({{begin % 5, begin, n}});
  }
  all.push_back({{4, 0, 1100}, {3, 0, 2300}});
  all.push_back({{0, 0, 350}, {1, 1350, 350}, {2, 77, 1}});
  return all;
}

class CudaInvariantAttention : public testing::TestWithParam<AttentionCase> {};
INSTANTIATE_TEST_SUITE_P(Kinds, CudaInvariantAttention, testing::ValuesIn(kKinds));

TEST_P(CudaInvariantAttention, HasTheSameBitsInEveryStep) {
  auto made = make_cuda_backend({.threads = 2}, true);
  if (!made.ok()) GTEST_SKIP() << made.status().message();
  ASSERT_TRUE((*made)->reserve(limits()).ok());
  for (const char* const name : {"bfloat16", "float32", "int8"}) {
    Side side(**made);
    Attended attended(side, GetParam(), *KvType::named(name));
    std::vector<std::vector<double>> whole;
    for (int seq = 0; seq < Attended::kSeqs; ++seq) whole.push_back(attended.step({{seq, 0, Attended::kLength}}));
    const size_t width = whole[0].size() / Attended::kLength;
    for (const Runs& runs : steps()) {
      const std::vector<double> got = attended.step(runs);
      ASSERT_TRUE((*made)->health().ok()) << (*made)->health();
      std::vector<double> expected;
      for (const auto& [seq, begin, n] : runs) {
        const auto first = whole[seq].begin() + static_cast<ptrdiff_t>(begin * width);
        expected.insert(expected.end(), first, first + static_cast<ptrdiff_t>(n * width));
      }
      ASSERT_EQ(got.size(), expected.size());
      const size_t wrong = first_different(got, expected);
      ASSERT_EQ(wrong, got.size()) << name << ", " << runs.size() << " sequences, the last of " << runs.back().n
                                   << " queries from " << runs.back().begin << ": row " << wrong / width << ", element "
                                   << wrong % width << ": " << got[wrong] << ", as a prompt " << expected[wrong];
    }
  }
}

}  // namespace
}  // namespace polymath::backend
