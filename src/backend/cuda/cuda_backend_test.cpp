// Every op of the CUDA backend against the reference. Skipped, with the reason, without a GPU.

#include "backend/cuda/cuda_backend.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

#include "backend/cuda/cuda_side_test.h"
#include "backend/reference/reference_backend.h"
#include "backend/reference/sample.h"

namespace polymath::backend {
namespace {

constexpr int64_t kPairsMax = 4000, kSharedIntermediateMax = 640;  // of the tests

StepLimits limits() {
  StepLimits l{.tokens_max = 1300,
               .seqs_max = 64,
               .blocks_max = 256,
               .hidden_max = 5000,
               .logits_max = 4096,
               .pairs_max = kPairsMax,
               .intermediate_max = 128,
               .expert_io_max = 512,
               .attention_max = 4096,
               .key_dim_max = 640};
  l.experts = {{64, 512, 128, kPairsMax, DType::kBf16},
               {1, 512, kSharedIntermediateMax, 1300, DType::kBf16},
               {2, 64, 9216, 8, DType::kBf16},
               {6, 40, 48, kPairsMax, DType::kF32}};  // by the default composition
  return l;
}

class Cuda : public testing::Test {
 protected:
  void SetUp() override {
    auto made = make_cuda_backend({.threads = 2});
    if (!made.ok()) GTEST_SKIP() << made.status().message();
    cuda_ = *std::move(made);
    invariant_ = make_cuda_backend({.threads = 2}, true).value();
    reference_ = make_reference_backend({}).value();
    for (Backend* b : {cuda_.get(), invariant_.get(), reference_.get()}) {
      const absl::Status reserved = b->reserve(limits());
      ASSERT_TRUE(reserved.ok()) << reserved;
    }
  }

  struct Tolerance {
    double absolute = 0, relative = 0;  // |a - b| <= absolute + relative * |b|, element by element
  };

  // `op`: each of its variants is forced and compared, if it fits, of both tables. "": the default choice alone.
  void compare(const char* what, const TestRun& run, Tolerance tolerance, std::string_view op = "") {
    Side there(*reference_);
    const Results expected = run(there);
    compare_results(*cuda_, what, run, expected, tolerance);
    if (op.empty()) return;
    for (Backend* cuda : {cuda_.get(), invariant_.get()}) {
      for (const KernelInfo& family : cuda->kernels()) {
        if (family.op != op) continue;
        for (const KernelInfo::Variant& variant : family.variants) {
          SCOPED_TRACE(variant.name);
          ASSERT_TRUE(force_kernel(*cuda, op, variant.name));
          compare_results(*cuda, what, run, expected, tolerance);
        }
      }
      ASSERT_TRUE(force_kernel(*cuda, op, ""));
    }
  }

  // The cases of a test reach every variant of `op`.
  void expect_all_ran(std::string_view op) const {
    for (const KernelInfo& family : cuda_->kernels()) {
      for (const KernelInfo::Variant& variant : family.variants) {
        EXPECT_TRUE(family.op != op || variant.ran) << op << ": no case is for " << variant.name;
      }
    }
  }

  std::unique_ptr<Backend> cuda_, invariant_, reference_;

 private:
  void compare_results(Backend& cuda, const char* what, const TestRun& run, const Results& expected,
                       Tolerance tolerance) {
    Side here(cuda);
    const Results got = run(here);
    ASSERT_TRUE(cuda.health().ok()) << what << ": " << cuda.health();
    ASSERT_EQ(got.size(), expected.size());
    for (size_t r = 0; r < got.size(); ++r) {
      ASSERT_EQ(got[r].size(), expected[r].size());
      for (size_t i = 0; i < got[r].size(); ++i) {
        if (std::isnan(expected[r][i]) && std::isnan(got[r][i])) continue;
        ASSERT_NEAR(got[r][i], expected[r][i], tolerance.absolute + tolerance.relative * std::abs(expected[r][i]))
            << what << ": result " << r << ", element " << i;
      }
    }
  }
};

constexpr double kBf16Step = 1.0 / 128;  // between neighbours near 1

struct LinearCase {
  DType type;
  int64_t rows, cols;
};
std::vector<LinearCase> linear_cases() {
  constexpr int64_t kSizes[][2] = {{48, 40}, {33, 7}, {96, 256}, {1, 1}, {40, 5000}, {80, 33}, {200, 2056}};
  std::vector<LinearCase> cases;
  for (const DType type : {DType::kF32, DType::kBf16, DType::kF16}) {
    for (const auto& size : kSizes) cases.push_back({type, size[0], size[1]});
  }
  return cases;
}
std::string name_of(const LinearCase& c) {
  return std::string(tensor::dtype_name(c.type)) + "_" + std::to_string(c.rows) + "x" + std::to_string(c.cols);
}
void PrintTo(const LinearCase& c, std::ostream* out) { *out << name_of(c); }

// A test each, to run in parallel: the reference takes seconds for some.
class CudaLinear : public Cuda, public testing::WithParamInterface<LinearCase> {};
INSTANTIATE_TEST_SUITE_P(Sizes, CudaLinear, testing::ValuesIn(linear_cases()),
                         [](const auto& info) { return name_of(info.param); });

TEST_P(CudaLinear, IsTheReferences) {
  const LinearCase& c = GetParam();
  uint32_t seed = 0;
  for (const int64_t n : {1, 2, 13, 31, 48, 64, 70, 120}) {
    for (const DType act : {DType::kF32, DType::kBf16}) {
      SCOPED_TRACE(testing::Message() << "n " << n << " " << tensor::dtype_name(act));
      seed += 10;
      const TestRun run = [&](Side& s) -> Results {
        const Weight& w = s.weight({.rows = c.rows, .cols = c.cols}, c.type, seed);
        const float* bias = s.matrix(DType::kF32, 1, c.rows, seed + 1).f32();
        const Tensor x = s.matrix(act, n, c.cols, seed + 2, {.gap = 3});
        const Tensor all = s.matrix(act, n, c.rows, seed + 3, {.gap = 5}), plain = s.matrix(act, n, c.rows, seed + 4);
        const Tensor sum = s.matrix(DType::kF32, n, c.rows, seed + 5), biased = s.matrix(DType::kF32, n, c.rows, 6);
        const Tensor clamped = s.matrix(DType::kF32, n, c.rows, seed + 7);
        s.b.linear(x, w, {.bias = bias, .scale = 0.5f, .clamp = 2}, all);
        s.b.linear(x, w, {}, plain);
        s.b.linear(x, w, {.accumulate = true, .scale = 0.7f}, sum);
        s.b.linear(x, w, {.bias = bias, .accumulate = true, .scale = 0.7f}, biased);
        s.b.linear(x, w, {.bias = bias, .accumulate = true, .scale = 0.7f, .clamp = 1}, clamped);
        return {s.get(all), s.get(plain), s.get(sum), s.get(biased), s.get(clamped)};
      };
      const double root = std::sqrt(static_cast<double>(c.cols));
      compare("linear", run,
              {c.type == DType::kF16 ? 1e-3 + 4e-4 * root : 1e-5 * root + 1e-5, act == DType::kBf16 ? kBf16Step : 1e-5},
              "linear");
    }
  }
}

TEST_F(Cuda, BatchedLinear) {
  for (const DType type : {DType::kF32, DType::kBf16}) {
    for (const DType act : {DType::kF32, DType::kBf16}) {
      for (const int64_t n : {1, 14, 90}) {
        const TestRun run = [&](Side& s) -> Results {
          const Weight& w = s.weight({.groups = 5, .rows = 40, .cols = 24}, type, 3);
          const Tensor x = s.matrix(act, n, 5 * 32, 4), y = s.zeros(DType::kF32, n, 5 * 48);
          const Tensor odd = s.matrix(act, n, 5 * 27, 4), z = s.zeros(act, n, 5 * 41);
          s.b.batched_linear(x, 32, w, 48, y);
          s.b.batched_linear(odd, 27, w, 41, z);
          return {s.get(y), s.get(z)};
        };
        compare("batched_linear", run, {1e-4, act == DType::kBf16 ? kBf16Step : 1e-5}, "batched_linear");
      }
    }
  }
}

// mla_head_gemm: DeepSeek's two shapes, and odd ones.
TEST_F(Cuda, BatchedLinearOfHeads) {
  const WeightShape shapes[] = {{16, 512, 128}, {16, 128, 512}, {3, 40, 200}, {2, 7, 264}, {5, 24, 8}};
  for (const WeightShape& shape : shapes) {
    for (const DType act : {DType::kF32, DType::kBf16}) {
      for (const int64_t n : {1, 9, 33, 128}) {
        const TestRun run = [&](Side& s) -> Results {
          const Weight& w = s.weight(shape, DType::kBf16, 3);
          const Tensor all = s.matrix(act, n, 64 + shape.groups * (shape.cols + 64), 4);
          const Tensor x = all.slice_cols(64, all.cols() - 64), y = s.zeros(act, n, shape.groups * (shape.rows + 3));
          s.b.batched_linear(x, shape.cols + 64, w, shape.rows + 3, y);
          return {s.get(y)};
        };
        compare("heads", run, {1e-4, act == DType::kBf16 ? kBf16Step : 1e-5}, "batched_linear");
      }
    }
  }
  expect_all_ran("batched_linear");
}

TEST_F(Cuda, GroupByExpert) {
  for (const int64_t n : {1, 40, 700, 9000}) {
    for (const int experts : {1, 7, 300}) {
      const TestRun run = [&](Side& s) -> Results {
        const Choices c(s, n, std::min(3, experts), experts, true);
        s.b.group_by_expert(c.routing, experts, c.groups);  // loads are added
        return {s.get(c.groups.offsets), s.get(c.groups.pairs), s.get(c.groups.load)};
      };
      compare("group_by_expert", run, {});
    }
  }
}

TEST_F(Cuda, GroupedLinearAndCombine) {
  for (const DType type : {DType::kF32, DType::kBf16, DType::kF16}) {
    for (const int64_t n : {1, 30, 500}) {
      const TestRun run = [&](Side& s) -> Results {
        const int64_t rows = 48, cols = 41;
        const int top_k = 2;
        const Choices c(s, n, top_k, 5, true);
        const Weight& w = s.weight({.groups = 5, .rows = rows, .cols = cols}, type, 6);
        const Tensor x = s.matrix(DType::kF32, n, cols, 7), y = s.zeros(DType::kF32, n * top_k, rows);
        const Tensor out = s.matrix(DType::kF32, n, rows, 8, {.gap = 2}), again = s.zeros(DType::kF32, n * top_k, rows);
        const Tensor z = s.matrix(DType::kF32, n * top_k, cols, 9);
        s.b.grouped_linear({&w, s.matrix(DType::kF32, 5, rows, 10).f32(), &c.groups, top_k, true}, x, y);
        s.b.combine(y, c.groups, c.routing, 2, out);
        s.b.grouped_linear({&w, nullptr, &c.groups, top_k, false}, z, again);
        return {s.get(y), s.get(out), s.get(again)};
      };
      compare("grouped_linear", run, {1e-4, 1e-5});
    }
  }
}

TEST_F(Cuda, Glu) {
  for (const GluKind kind : {GluKind::kSilu, GluKind::kSwigluClamp, GluKind::kGelu}) {
    const TestRun run = [&](Side& s) -> Results {
      const Tensor x = s.matrix(DType::kF32, 9, 2 * 37, 10, {.scale = 20}), y = s.zeros(DType::kF32, 9, 37);
      s.b.glu({kind, 3.0f, 1.7f}, x, y);
      return {s.get(y)};
    };
    compare("glu", run, {1e-5, 1e-5});
  }
}

struct MlpCase {
  GluKind glu;
  int n_experts;
  int64_t top_k, n, hidden, intermediate;
  bool bias, on_input, drop;
};
constexpr MlpCase kMlps[] = {{GluKind::kSilu, 6, 2, 1, 40, 48, false, false, false},
                             {GluKind::kSilu, 64, 4, 1, 256, 96, false, false, false},
                             {GluKind::kSilu, 6, 2, 7, 40, 41, false, false, true},
                             {GluKind::kSilu, 3, 2, 20, 333, 20, true, false, true},
                             {GluKind::kSwigluClamp, 4, 3, 32, 64, 24, true, false, false},
                             {GluKind::kSwigluClamp, 4, 3, 33, 64, 24, true, false, false},
                             {GluKind::kGelu, 1, 1, 30, 100, 96, true, false, false},
                             {GluKind::kGelu, 1, 1, 200, 100, 96, true, false, false},
                             {GluKind::kSilu, 5, 1, 25, 50, 32, false, true, false},
                             {GluKind::kSilu, 5, 1, 300, 50, 32, false, true, true},
                             {GluKind::kSilu, 40, 4, 100, 512, 128, false, false, true},
                             {GluKind::kSilu, 2, 2, 1090, 136, 20, false, false, false},
                             {GluKind::kSilu, 3, 2, 700, 328, 136, false, false, false},
                             {GluKind::kSwigluClamp, 5, 2, 400, 264, 72, true, false, true},
                             {GluKind::kSilu, 2, 1, 5, 64, 9216, true, false, false},
                             {GluKind::kSilu, 1, 1, 1, 256, 96, false, false, false},
                             {GluKind::kGelu, 1, 1, 40, 128, 64, false, false, false}};

TEST_F(Cuda, ExpertMlp) {
  for (const DType type : {DType::kF32, DType::kBf16, DType::kF16}) {
    for (const MlpCase& c : kMlps) {
      SCOPED_TRACE(testing::Message() << tensor::dtype_name(type) << " hidden " << c.hidden << " n " << c.n);
      const TestRun run = [&](Side& s) -> Results {
        const WeightShape up{.groups = c.n_experts, .rows = 2 * c.intermediate, .cols = c.hidden, .glu = true};
        const WeightShape back{.groups = c.n_experts, .rows = c.hidden, .cols = c.intermediate};
        ExpertMlp mlp{.gate_up = &s.weight(up, type, 11, 0.3f),
                      .down = &s.weight(back, type, 12, 0.3f),
                      .glu = {c.glu},
                      .weight_on_input = c.on_input,
                      .scale = 0.7f};
        if (c.bias) {
          mlp.gate_up_bias = s.matrix(DType::kF32, c.n_experts, 2 * c.intermediate, 13).f32();
          mlp.down_bias = s.matrix(DType::kF32, c.n_experts, c.hidden, 14).f32();
        }
        const Choices choices(s, c.n, c.top_k, c.n_experts, c.drop);
        const Tensor x = s.matrix(s.b.activation_dtype(type), c.n, c.hidden, 15);
        const Tensor out = s.matrix(DType::kF32, c.n, c.hidden, 16, {.gap = 4});
        s.b.expert_mlp(mlp, x, choices.routing, choices.groups, out);
        return {s.get(out)};
      };
      // Intermediate elements between two bf16 values may round either way.
      const double absolute = type == DType::kF32 ? 1e-4 : type == DType::kF16 ? 2e-2 : 3e-2;
      compare("expert_mlp", run, {absolute, type == DType::kF32 ? 1e-5 : 2e-3}, "expert_mlp");
    }
  }
  expect_all_ran("expert_mlp");
}

struct SharedCase {
  GluKind glu, shared_glu;
  int n_experts;
  int64_t top_k, n, hidden, intermediate, shared_intermediate;
  bool bias, drop;
};
// One token, few tokens with a shared expert that joins, and cases where it does not join.
constexpr SharedCase kShared[] = {{GluKind::kSilu, GluKind::kSilu, 64, 4, 1, 256, 96, 384, false, false},
                                  {GluKind::kSilu, GluKind::kSilu, 8, 3, 1, 72, 40, 104, false, true},
                                  {GluKind::kSilu, GluKind::kGelu, 8, 2, 1, 128, 64, 64, false, false},
                                  {GluKind::kSilu, GluKind::kSilu, 60, 4, 8, 512, 128, 512, false, false},
                                  {GluKind::kSilu, GluKind::kSilu, 6, 2, 7, 64, 48, 320, false, true},
                                  {GluKind::kSwigluClamp, GluKind::kSilu, 16, 4, 100, 128, 72, 640, true, true},
                                  {GluKind::kSilu, GluKind::kSilu, 12, 1, 128, 128, 128, 64, false, false},
                                  {GluKind::kSilu, GluKind::kSilu, 32, 4, 130, 128, 128, 64, false, false},
                                  {GluKind::kSilu, GluKind::kSilu, 2, 2, 90, 136, 24, 48, false, false},
                                  {GluKind::kSilu, GluKind::kSilu, 6, 2, 7, 40, 41, 48, false, false}};

TEST_F(Cuda, ExpertMlpWithShared) {
  for (const DType type : {DType::kF32, DType::kBf16, DType::kF16}) {
    for (const SharedCase& c : kShared) {
      SCOPED_TRACE(testing::Message() << tensor::dtype_name(type) << " hidden " << c.hidden << " n " << c.n);
      const TestRun run = [&](Side& s) -> Results {
        const auto networks = [&](int64_t n, int64_t intermediate, GluKind glu, uint32_t seed) -> ExpertMlp {
          const WeightShape up{.groups = n, .rows = 2 * intermediate, .cols = c.hidden, .glu = true};
          const WeightShape back{.groups = n, .rows = c.hidden, .cols = intermediate};
          return {.gate_up = &s.weight(up, type, seed, 0.3f),
                  .down = &s.weight(back, type, seed + 1, 0.3f),
                  .glu = {glu},
                  .scale = 0.7f};
        };
        ExpertMlp mlp = networks(c.n_experts, c.intermediate, c.glu, 11);
        const ExpertMlp shared = networks(1, c.shared_intermediate, c.shared_glu, 21);
        if (c.bias) {
          mlp.gate_up_bias = s.matrix(DType::kF32, c.n_experts, 2 * c.intermediate, 13).f32();
          mlp.down_bias = s.matrix(DType::kF32, c.n_experts, c.hidden, 14).f32();
        }
        const Choices choices(s, c.n, c.top_k, c.n_experts, c.drop), all(s, c.n, 1, 1, false);
        const Tensor x = s.matrix(s.b.activation_dtype(type), c.n, c.hidden, 15);
        const Tensor out = s.matrix(DType::kF32, c.n, c.hidden, 16, {.gap = 4});
        for (int i = 0; i < 3; ++i) {  // repeats find the counters of the run before
          s.b.expert_mlp_with_shared({&mlp, choices.routing, choices.groups}, {&shared, all.routing, all.groups}, x,
                                     out);
        }
        return {s.get(out)};
      };
      const double absolute = type == DType::kF32 ? 1e-4 : 1e-1;  // of sums around ten
      compare("expert_mlp_with_shared", run, {absolute, type == DType::kF32 ? 1e-5 : 5e-3}, "expert_mlp_with_shared");
    }
  }
  expect_all_ran("expert_mlp_with_shared");
}

TEST_F(Cuda, EmbedFillAndGather) {
  const std::vector<int32_t> ids = {0, 36, 5, 17, 36};
  for (const DType type : {DType::kF32, DType::kBf16, DType::kF16}) {
    const TestRun run = [&](Side& s) -> Results {
      const Weight& table = s.weight({.rows = 37, .cols = 25}, type, 20);
      const Tensor y = s.zeros(DType::kF32, 5, 25), some = s.zeros(DType::kF32, 2, 25),
                   wide = s.zeros(DType::kF32, 5, 90);
      s.b.embed(table, s.ints(ids), 2, y);
      s.b.gather_rows(y, s.ints({4, 1}), some);
      s.b.copy_heads({3, 7, 8, 30}, y, wide);
      s.b.scale_rows(s.floats({1, 2}), some);
      return {s.get(y), s.get(some), s.get(wide)};
    };
    compare("embed", run, {});
    const TestRun gated = [&](Side& s) -> Results {
      const Tensor y = s.zeros(DType::kF32, 5, 25), gates = s.zeros(DType::kF32, 5, 25);
      const Weight& table = s.weight({.rows = 37, .cols = 25}, type, 20);
      s.b.embed(table, s.ints(ids), 2, y);
      s.b.embed(table, s.ints({1, 2, 3, 4, 5}), 1, gates);
      const Tensor heads = y.slice_cols(0, 12);
      s.b.gate_heads({3, 4, 8}, gates, heads);  // of each 8 columns, the first 4
      return {s.get(y)};
    };
    compare("gate_heads", gated, {1e-6, 1e-6});
    for (const DType stored : {DType::kF32, DType::kBf16, DType::kF16}) {
      const TestRun transposed = [&](Side& s) -> Results {
        TestMatrix source(stored, 600, 21);  // the weight is its transpose
        source.randomize(21);
        Weight w = s.b.make_weight({.groups = 2, .rows = 21, .cols = 600}, quant::plain_format(type)).value();
        for (int g = 0; g < 2; ++g) {
          s.b.fill_weight(w, g, 0, {&quant::plain_format(stored), source.bytes.data(), 21, 600, 1, 21});
        }
        w.shape.groups = 1;
        std::vector<int32_t> rows(21);
        for (int i = 0; i < 21; ++i) rows[i] = i;
        const Tensor y = s.zeros(DType::kF32, 21, 600);
        s.b.embed(w, s.ints(rows), 1, y);
        return {s.get(y)};
      };
      compare("fill_weight", transposed, {});
    }
  }
}

TEST_F(Cuda, GeneratedWeights) {
  std::vector<float> quantiles(quant::kQuantiles);
  for (size_t i = 0; i < quantiles.size(); ++i) quantiles[i] = static_cast<float>(i) / 1000 - 2;
  for (const DType type : {DType::kF32, DType::kBf16}) {
    Side s(*cuda_);
    Weight w = s.b.make_weight({.rows = 30, .cols = 21}, quant::plain_format(type)).value();
    const quant::Generator g{77, quantiles.data(), 0.5f, &quant::kBf16};
    ASSERT_TRUE(s.b.generate_weight(w, 0, 4, {g, 1000, 26, 21, 3, 100}));
    std::vector<int32_t> rows(26);
    for (int i = 0; i < 26; ++i) rows[i] = i + 4;
    const Tensor y = s.zeros(DType::kF32, 26, 21);
    s.b.embed(w, s.ints(rows), 1, y);
    const auto got = s.get(y);
    for (int64_t r = 0; r < 26; ++r) {
      for (int64_t c = 0; c < 21; ++c) {
        const float expected = rounded(0.5f * quantiles[quant::quantile_of(77, 1000 + r * 3 + c * 100)], DType::kBf16);
        ASSERT_EQ(got[r * 21 + c], expected);
      }
    }
  }
}

TEST_F(Cuda, Norm) {
  for (const NormKind kind : {NormKind::kRms, NormKind::kLayer}) {
    for (const int64_t width : {1, 24, 100, 2048}) {
      for (const DType act : {DType::kF32, DType::kBf16}) {
        const TestRun run = [&](Side& s) -> Results {
          const Tensor x = s.matrix(act, 7, 2 * width, 30, {.gap = 2}), y = s.zeros(act, 7, 2 * width);
          const float *weight = s.matrix(DType::kF32, 1, width, 31).f32(),
                      *bias = s.matrix(DType::kF32, 1, width, 32).f32();
          s.b.norm({kind, 1e-5f, 2, weight, kind == NormKind::kLayer ? bias : nullptr}, x, y);
          s.b.norm({kind, 1e-5f, 1, nullptr, nullptr}, x, x);
          return {s.get(y), s.get(x)};
        };
        compare("norm", run, {1e-4, act == DType::kBf16 ? kBf16Step : 1e-4});
      }
    }
  }
}

TEST_F(Cuda, Rope) {
  for (const bool interleaved : {false, true}) {
    for (const int dims : {8, 24, 192}) {
      const TestRun run = [&](Side& s) -> Results {
        const int heads = 3, stride = dims + 9;
        std::vector<float> table(50 * dims);
        for (size_t i = 0; i < table.size(); i += 2) {
          table[i] = std::cos(0.1f * static_cast<float>(i)), table[i + 1] = std::sin(0.1f * static_cast<float>(i));
        }
        const Tensor x = s.matrix(DType::kF32, 4, heads * stride, 31);
        s.b.rope({s.floats(table).f32(), dims, interleaved, heads, stride, 5}, s.ints({0, 49, 3, 7}), x);
        return {s.get(x)};
      };
      compare("rope", run, {1e-6});
    }
  }
}

TEST_F(Cuda, EveryRouting) {
  for (const routing::Router& router : routing::routers()) {
    for (const int experts : {8, 64, 1024}) {
      const routing::RouterConfig config{.n_experts = experts,
                                         .top_k = router.name == "switch_top1" ? 1 : 6,
                                         .n_groups = 4,
                                         .top_groups = 2,
                                         .normalize = true,
                                         .weight_scale = 1.5f,
                                         .hash_seed = 5};
      if (experts == 8 && router.name.find("group") != std::string_view::npos) continue;  // 4 of a token's 6 are masked
      const TestRun run = [&](Side& s) -> Results {
        constexpr int64_t kRows = 150;
        const Tensor logits = s.matrix(DType::kF32, kRows, experts, 33, {.scale = 4});
        const std::vector<float> broken(static_cast<size_t>(experts), std::numeric_limits<float>::quiet_NaN());
        s.b.copy_in(logits.slice_rows(3, 1), broken.data());
        std::vector<int32_t> tokens(kRows);
        for (int32_t i = 0; i < kRows; ++i) tokens[i] = 17 * i;
        const Routing out{s.zeros(DType::kI32, kRows, config.top_k), s.zeros(DType::kF32, kRows, config.top_k)};
        const float* bias = s.matrix(DType::kF32, 1, experts, 34, {.scale = 0.1f}).f32();
        s.b.route({config, router.route, bias}, logits, s.ints(tokens), out);
        return {s.get(out.ids), s.get(out.weights)};
      };
      compare(std::string(router.name).c_str(), run, {1e-6, 1e-5});
    }
  }
}

TEST_F(Cuda, CopiesLargerThanTheStagingMemory) {
  Side s(*cuda_);
  std::vector<float> values(12 << 20);
  for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i % 10007);
  const Tensor t = s.floats(values);
  std::vector<float> back(values.size());
  cuda_->copy_out(back.data(), t);
  EXPECT_EQ(back, values);
  for (const int slot : {0, 1, 0}) {  // two readbacks lie one after another
    const Tensor first = cuda_->enqueue_readback(slot, {DType::kF32, {1, 1000}, t.f32() + 5});
    const Tensor second = cuda_->enqueue_readback(slot, {DType::kF32, {1, 3096}, t.f32() + 1005});
    cuda_->await_readback(slot);
    EXPECT_EQ(second.f32(), first.f32() + 1000);
    EXPECT_EQ(std::vector<float>(first.f32(), first.f32() + 4096),
              std::vector<float>(values.begin() + 5, values.begin() + 4101));
  }
}

// Attention of a sequence in blocks 1 and 0 of a cache, a query at each position. Cache layouts differ, so caches are
// compared by attending to them.
Tensor attend(Side& s, const KvLayer& kv, const Tensor& q, const std::vector<int32_t>& positions) {
  const int n_heads = static_cast<int>(q.cols() / kv.shape.key_dim);
  StepLayout layout;
  layout.n_tokens = static_cast<int>(positions.size());
  layout.n_seqs = 1;
  layout.positions = s.ints(positions);
  layout.query_start = s.ints({0, layout.n_tokens});
  layout.kv_len = s.ints({*std::max_element(positions.begin(), positions.end()) + 1});
  layout.block_table = s.ints({1, 0}).reshape({1, 2});
  const Tensor out = s.zeros(DType::kF32, layout.n_tokens, int64_t{n_heads} * kv.shape.value_dim);
  s.b.attention({n_heads, 0.1f, 0, 0, nullptr}, q, kv, layout, out);
  return out;
}

struct QkvCase {
  const char* name;
  QkvParams params;
  int rope_dims;
  bool interleaved, factors;
};

TEST_F(Cuda, PreparesQkvAsTheReference) {
  const QkvCase cases[] = {
      {"plain", {.n_heads = 4, .n_kv_heads = 2, .head_dim = 64}, 64, false, false},
      {"norm before", {.n_heads = 6, .n_kv_heads = 2, .head_dim = 128, .norm = QkvNorm::kHead}, 128, false, false},
      {"norm after", {.n_heads = 4, .n_kv_heads = 4, .head_dim = 16, .norm = QkvNorm::kHeadAfter}, 8, true, true},
      {"whole", {.n_heads = 4, .n_kv_heads = 2, .head_dim = 32, .norm = QkvNorm::kWhole}, 32, false, false},
      {"no rotation", {.n_heads = 2, .n_kv_heads = 1, .head_dim = 80}, 0, false, true},
  };
  constexpr int kRows = 7, kBlock = 4;
  for (const QkvCase& c : cases) {
    const auto run = [&](Side& s) -> Results {
      QkvParams p = c.params;
      const int64_t width = int64_t{p.n_heads + 2 * p.n_kv_heads} * p.head_dim;
      const int64_t norm_width = p.norm == QkvNorm::kWhole ? int64_t{p.n_heads} * p.head_dim : p.head_dim;
      p.q_norm = s.matrix(DType::kF32, 1, norm_width, 1).f32();
      p.k_norm = s.matrix(DType::kF32, 1, norm_width, 2).f32();
      if (c.rope_dims > 0) p.rope = {.cos_sin = s.matrix(DType::kF32, 40, c.rope_dims, 3).f32()};
      p.rope.dims = c.rope_dims;
      p.rope.interleaved = c.interleaved;
      if (c.factors) p.factors = s.matrix(DType::kF32, 1, kRows, 4).f32();
      const Tensor qkv = s.matrix(DType::kF32, kRows, width, 5);
      const KvShape shape{p.n_kv_heads, p.head_dim, p.head_dim, false, kBlock, 6, DType::kF32};
      const auto bytes = static_cast<int64_t>(s.b.kv_block_bytes(shape)) * shape.n_blocks;
      const Tensor cache = s.zeros(DType::kF32, 1, bytes / 4);
      StepLayout layout;
      layout.n_tokens = kRows;
      layout.n_seqs = 1;
      layout.positions = s.ints({0, 1, 2, 3, 9, 33, 39});
      layout.slots = s.ints({4, 5, 6, 7, 23, 0, 11});
      s.b.prepare_qkv(p, layout, qkv, {shape, cache.data});
      const Tensor q = qkv.slice_cols(0, int64_t{p.n_heads} * p.head_dim);
      return {s.get(q), s.get(attend(s, {shape, cache.data}, q, {0, 1, 2, 3, 3, 3, 3}))};
    };
    compare(c.name, run, {1e-4, 1e-4}, "prepare_qkv");
  }
}

TEST_F(Cuda, PreparesQkvOfPromptsAsTheReference) {
  const QkvCase cases[] = {
      {"plain", {.n_heads = 9, .n_kv_heads = 3, .head_dim = 64}, 64, false, false},
      {"norm before", {.n_heads = 10, .n_kv_heads = 2, .head_dim = 128, .norm = QkvNorm::kHead}, 128, false, true},
      {"norm after", {.n_heads = 4, .n_kv_heads = 4, .head_dim = 64, .norm = QkvNorm::kHeadAfter}, 64, false, true},
      {"no rotation", {.n_heads = 2, .n_kv_heads = 1, .head_dim = 128}, 0, false, false},
  };
  constexpr int kRows = 301, kBlock = 16, kBlocks = 20;
  int nth = 0;
  for (const QkvCase& c : cases) {
    constexpr KvPacking kPackings[] = {KvPacking::kNone, KvPacking::kInt8, KvPacking::kE4M3, KvPacking::kNone};
    const KvPacking packing = kPackings[nth++];
    const auto run = [&](Side& s) -> Results {
      QkvParams p = c.params;
      p.q_norm = s.matrix(DType::kF32, 1, p.head_dim, 1).f32();
      p.k_norm = s.matrix(DType::kF32, 1, p.head_dim, 2).f32();
      if (c.rope_dims > 0) p.rope = {.cos_sin = s.matrix(DType::kF32, kRows, c.rope_dims, 3).f32()};
      p.rope.dims = c.rope_dims;
      if (c.factors) p.factors = s.matrix(DType::kF32, 1, kRows, 4).f32();
      const Tensor qkv = s.matrix(DType::kF32, kRows, int64_t{p.n_heads + 2 * p.n_kv_heads} * p.head_dim, 5);
      const KvShape shape{p.n_kv_heads, p.head_dim, p.head_dim, false, kBlock, kBlocks, DType::kBf16, packing};
      const auto bytes = static_cast<int64_t>(s.b.kv_block_bytes(shape)) * shape.n_blocks;
      const Tensor cache = s.zeros(DType::kF32, 1, bytes / 4);
      std::vector<int32_t> positions(kRows), slots(kRows), table(kBlocks);
      for (int i = 0; i < kBlocks; ++i) table[i] = (i * 7 + 3) % kBlocks;
      for (int i = 0; i < kRows; ++i) {
        positions[i] = i;
        slots[i] = table[i / kBlock] * kBlock + i % kBlock;
      }
      StepLayout layout{.n_tokens = kRows, .n_seqs = 1};
      layout.positions = s.ints(positions), layout.slots = s.ints(slots);
      s.b.prepare_qkv(p, layout, qkv, {shape, cache.data});
      const Tensor q = qkv.slice_cols(0, int64_t{p.n_heads} * p.head_dim);
      layout.query_start = s.ints({0, kRows}), layout.kv_len = s.ints({kRows});
      layout.block_table = s.ints(table).reshape({1, kBlocks});
      const Tensor out = s.zeros(DType::kF32, kRows, int64_t{p.n_heads} * p.head_dim);
      s.b.attention({p.n_heads, 0.05f, 0, 0, nullptr}, q, {shape, cache.data}, layout, out);
      return {s.get(q), s.get(out)};
    };
    compare(c.name, run, {3e-2, 1e-2}, "prepare_qkv");
  }
  expect_all_ran("prepare_qkv");
}

struct LatentCase {
  const char* name;
  LatentParams params;
  int rope_dims;
  bool interleaved;
  DType weights, cache;
  KvPacking packing = KvPacking::kNone;
};

TEST_F(Cuda, PreparesLatentAsTheReference) {
  const LatentCase cases[] = {
      {"deepseek", {.n_heads = 16, .nope_dim = 128, .kv_lora = 512}, 64, true, DType::kBf16, DType::kF32},
      {"halves", {.n_heads = 3, .nope_dim = 16, .kv_lora = 40}, 8, false, DType::kF32, DType::kF32},
      {"wide rotation", {.n_heads = 4, .nope_dim = 8, .kv_lora = 32}, 128, true, DType::kBf16, DType::kF32},
      {"wider than the kernel's", {.n_heads = 2, .nope_dim = 8, .kv_lora = 32}, 132, true, DType::kBf16, DType::kF32},
      {"bf16 cache", {.n_heads = 16, .nope_dim = 128, .kv_lora = 512}, 64, true, DType::kBf16, DType::kBf16},
      {"int8 cache",
       {.n_heads = 16, .nope_dim = 128, .kv_lora = 512},
       64,
       true,
       DType::kBf16,
       DType::kBf16,
       KvPacking::kInt8},
  };
  constexpr int kRows = 7, kBlock = 8;
  for (const LatentCase& c : cases) {
    const auto run = [&](Side& s) -> Results {
      LatentParams p = c.params;
      const int head = p.nope_dim + c.rope_dims, key = p.kv_lora + c.rope_dims;
      p.kv_norm = s.matrix(DType::kF32, 1, p.kv_lora, 1).f32();
      p.rope = {.cos_sin = s.matrix(DType::kF32, 40, c.rope_dims, 3).f32(), .dims = c.rope_dims};
      p.rope.interleaved = c.interleaved;
      const Tensor qk = s.matrix(DType::kF32, kRows, p.n_heads * head + key, 5);  // side by side, as the model has them
      const Tensor full = s.zeros(DType::kF32, kRows, p.n_heads * key);
      const Weight& key_up = s.weight({p.n_heads, p.kv_lora, p.nope_dim}, c.weights, 7);
      const KvShape shape{1, key, p.kv_lora, true, kBlock, 6, c.cache, c.packing};
      const auto bytes = static_cast<int64_t>(s.b.kv_block_bytes(shape)) * shape.n_blocks;
      const Tensor cache = s.zeros(DType::kF32, 1, bytes / 4);
      StepLayout layout;
      layout.n_tokens = kRows;
      layout.n_seqs = 1;
      layout.positions = s.ints({0, 1, 2, 3, 9, 33, 39});
      layout.slots = s.ints({8, 9, 10, 11, 23, 47, 2});
      const LatentTensors t{qk.slice_cols(0, p.n_heads * head), qk.slice_cols(p.n_heads * head, key), full};
      s.b.prepare_latent(p, layout, t, key_up, {shape, cache.data});
      const Tensor q = s.matrix(DType::kF32, kRows, full.cols(), 6);
      return {s.get(full), s.get(attend(s, {shape, cache.data}, q, {0, 1, 2, 3, 3, 8, 10}))};
    };
    const double tolerance = c.cache == DType::kBf16 ? 2e-2 : 1e-4;
    compare(c.name, run, {tolerance, tolerance}, "prepare_latent");
  }
  expect_all_ran("prepare_latent");
}

struct RouterShape {
  DType dtype = DType::kF32;
  int rows = 1, cols = 1;
  bool gated = false;  // with the gate of a shared expert
};

Results route_layer(Side& s, const routing::Router& router, const routing::RouterConfig& config,
                    const RouterShape& shape) {
  const auto& [dtype, rows, cols, gated] = shape;
  const int n_experts = config.n_experts, top_k = config.top_k;
  const float scale = 8 / std::sqrt(static_cast<float>(cols));  // of logits that do not grow with the width
  const Tensor x = s.matrix(DType::kBf16, rows, cols, 11), logits = s.zeros(DType::kF32, rows, n_experts);
  const Weight& w = s.weight({1, n_experts, cols}, dtype, 12, scale);
  const float* bias = s.matrix(DType::kF32, 1, n_experts, 13, {.scale = 0.1f}).f32();
  std::vector<int32_t> tokens(rows);
  for (int32_t i = 0; i < rows; ++i) tokens[i] = 31 * i;
  const Routing out{s.zeros(DType::kI32, rows, top_k), s.zeros(DType::kF32, rows, top_k)};
  const ExpertGroups groups{s.ints(std::vector<int32_t>(n_experts + 1)), s.ints(std::vector<int32_t>(rows * top_k)),
                            s.zeros(DType::kI64, 2, n_experts)};
  RouteExperts params{&w, bias, bias, config, router.route};
  const RouteExperts gate{.router = &s.weight({1, 1, cols}, dtype, 14, scale),
                          .config = {.n_experts = 1, .top_k = 1},
                          .route = routing::find_router("sigmoid_topk")->route};
  params.gate_out = {s.zeros(DType::kI32, rows, 1), s.zeros(DType::kF32, rows, 1)};
  if (gated) params.gate = &gate;
  s.b.route_experts(params, x, s.ints(tokens), logits, {out, groups});
  return {s.get(out.ids),      s.get(out.weights), s.get(groups.offsets),
          s.get(groups.pairs), s.get(groups.load), s.get(params.gate_out.weights)};
}

// A layer's routing, with routers of either type, in batches of each size.
class CudaRouting : public Cuda {
 protected:
  void compare_layers(const routing::Router& router, const routing::RouterConfig& config, RouterShape shape,
                      std::initializer_list<int> batches) {
    for (const int rows : batches) {
      for (const DType dtype : {DType::kF32, DType::kBf16}) {
        SCOPED_TRACE(testing::Message() << router.name << " " << config.n_experts << " x " << shape.cols << " "
                                        << tensor::dtype_name(dtype));
        shape.rows = rows, shape.dtype = dtype;
        compare(
            std::to_string(rows).c_str(), [&](Side& s) { return route_layer(s, router, config, shape); }, {1e-4, 1e-4},
            "route_experts");
      }
    }
  }
};

routing::RouterConfig config_of(const routing::Router& router, int n_experts) {
  routing::RouterConfig config{.n_experts = n_experts, .top_k = std::min(n_experts, 4)};
  if (router.name == "switch_top1" || n_experts == 1) config.top_k = 1;
  if (router.name == "sparsemixer") config.top_k = std::min(n_experts, 2);
  if (n_experts >= 8 && router.name.find("group") != std::string_view::npos) config.n_groups = 4, config.top_groups = 2;
  config.normalize = n_experts == 60;
  return config;
}

TEST_F(CudaRouting, RoutesALayerAsTheReference) {
  for (const auto& router : routing::routers()) {
    for (const int n_experts : {1, 8, 40, 60, 128}) {
      compare_layers(router, config_of(router, n_experts), {.cols = 64, .gated = n_experts != 8}, {1, 5, 33, 200});
    }
  }
  expect_all_ran("route_experts");
}

// All of a warp's early turns, later turns, ends within a turn, split-K tiles, and several tiles a block.
TEST_F(CudaRouting, RoutesWideInputsAsTheReference) {
  const routing::Router& router = *routing::find_router("softmax_topk");
  for (const int cols : {1000, 2048, 2056, 2880, 4608}) {
    for (const int n_experts : {8, 60, 128, 250}) {
      compare_layers(router, {.n_experts = n_experts, .top_k = 4}, {.cols = cols, .gated = n_experts == 60},
                     {1, 8, 13});
    }
  }
}

TEST_F(Cuda, ChoosesTokens) {
  Side s(*cuda_);
  const SampleParams kinds[] = {{},
                                {.temperature = 1, .uniform = 0.3f},
                                {.temperature = 0.7f, .top_k = 5, .uniform = 0.9f},
                                {.temperature = 1.3f, .top_p = 0.8f, .uniform = 0.55f},
                                {.temperature = 1, .min_p = 0.2f, .uniform = 0.71f},
                                {.temperature = 2, .min_p = 0.01f, .top_k = 40, .top_p = 0.9f, .uniform = 0.999f},
                                {.temperature = 1, .top_k = 1, .uniform = 0.5f}};
  for (const int vocab : {7, 1000, 50021}) {
    const int rows = static_cast<int>(std::size(kinds)) + 1;
    const Tensor logits = s.matrix(DType::kF32, rows, vocab, 77, {.scale = 6});
    std::vector<double> values = s.get(logits);
    std::vector<SampleParams> params(kinds, std::end(kinds));
    params.push_back(kinds[1]);
    const float nan = std::nanf("");
    cuda_->copy_in({DType::kF32, {1}, logits.f32() + int64_t{rows - 1} * vocab + 3}, &nan);
    Tensor device = s.zeros(DType::kF32, 1, static_cast<int64_t>(params.size() * sizeof(SampleParams) / 4));
    cuda_->copy_in(device, params.data());
    const Tensor ids = s.ints(std::vector<int32_t>(rows));
    cuda_->sample(logits, device.as<SampleParams>(), ids);
    const std::vector<double> got = s.get(ids);
    for (int r = 0; r + 1 < rows; ++r) {
      const std::vector<float> row(values.begin() + int64_t{r} * vocab, values.begin() + int64_t{r + 1} * vocab);
      EXPECT_EQ(got[r], sample_by_sorting(row, params[r])) << "row " << r << " of " << vocab;
    }
    EXPECT_EQ(got[rows - 1], -1);
    const Tensor tokens = s.ints({100, 200, 300}), from = s.ints({-1, 2, 0});
    cuda_->take_sampled(ids, from, tokens);
    EXPECT_EQ(s.get(tokens), (std::vector<double>{100, got[2], got[0]}));
  }
}

}  // namespace
}  // namespace polymath::backend
