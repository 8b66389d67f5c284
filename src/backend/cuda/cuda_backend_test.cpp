// Every op of the CUDA backend beside the reference's. Skipped, with the reason, where there is no card.

#include "backend/cuda/cuda_backend.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>

#include "backend/cuda/cuda_side_test.h"
#include "backend/reference/reference_backend.h"

namespace polymath::backend {
namespace {

constexpr StepLimits kLimits{.tokens_max = 1300,
                             .seqs_max = 64,
                             .blocks_max = 256,
                             .hidden_max = 5000,
                             .logits_max = 4096,
                             .pairs_max = 4000,
                             .inner_max = 128,
                             .expert_io_max = 512,
                             .attention_max = 4096,
                             .key_dim_max = 640};

class Cuda : public testing::Test {
 protected:
  void SetUp() override {
    auto made = make_cuda_backend({.threads = 2});
    if (!made.ok()) GTEST_SKIP() << made.status().message();
    cuda_ = *std::move(made);
    reference_ = make_reference_backend({}).value();
    for (Backend* b : {cuda_.get(), reference_.get()}) {
      // Plain experts are set aside for where there are gated weights of that kind.
      ASSERT_TRUE(b->make_weight({.rows = 2, .cols = 8, .glu = true}, DType::kF32).ok());
      const absl::Status reserved = b->reserve(kLimits);
      ASSERT_TRUE(reserved.ok()) << reserved;
    }
  }

  // |a - b| <= absolute + relative * |b|, number by number.
  void compare(const char* what, const TestRun& run, double absolute, double relative = 0) {
    Side here(*cuda_), there(*reference_);
    const Results got = run(here), expected = run(there);
    ASSERT_TRUE(cuda_->health().ok()) << what << ": " << cuda_->health();
    ASSERT_EQ(got.size(), expected.size());
    for (size_t r = 0; r < got.size(); ++r) {
      ASSERT_EQ(got[r].size(), expected[r].size());
      for (size_t i = 0; i < got[r].size(); ++i) {
        if (std::isnan(expected[r][i]) && std::isnan(got[r][i])) continue;
        ASSERT_NEAR(got[r][i], expected[r][i], absolute + relative * std::abs(expected[r][i]))
            << what << ": result " << r << ", number " << i;
      }
    }
  }

  std::unique_ptr<Backend> cuda_, reference_;
};

constexpr double kBf16Step = 1.0 / 128;  // between neighbours near 1

struct LinearCase {
  int64_t rows, cols;
};

TEST_F(Cuda, Linear) {
  uint32_t seed = 0;
  for (const DType type : {DType::kF32, DType::kBf16, DType::kF16}) {
    for (const LinearCase& c : {LinearCase{48, 40}, {33, 7}, {96, 256}, {1, 1}, {40, 5000}, {80, 33}}) {
      for (const int64_t n : {1, 2, 13, 70}) {
        for (const DType act : {DType::kF32, DType::kBf16}) {
          SCOPED_TRACE(testing::Message() << tensor::dtype_name(type) << " " << c.rows << "x" << c.cols << " n " << n
                                          << " " << tensor::dtype_name(act));
          seed += 10;
          const TestRun run = [&](Side& s) -> Results {
            const Weight& w = s.weight({.rows = c.rows, .cols = c.cols}, type, seed);
            const float* bias = s.matrix(DType::kF32, 1, c.rows, seed + 1).f32();
            const Tensor x = s.matrix(act, n, c.cols, seed + 2, 1, 3);
            const Tensor all = s.matrix(act, n, c.rows, seed + 3, 1, 5), plain = s.matrix(act, n, c.rows, seed + 4);
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
          compare("linear", run, type == DType::kF16 ? 1e-3 + 4e-4 * root : 1e-5 * root + 1e-5,
                  act == DType::kBf16 ? kBf16Step : 1e-5);
        }
      }
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
        compare("batched_linear", run, 1e-4, act == DType::kBf16 ? kBf16Step : 1e-5);
      }
    }
  }
}

// Expert (t * t + choice) % n of each token, some dropped.
struct Choices {
  Choices(Side& s, int64_t n, int64_t top_k, int n_experts, bool drop) {
    std::vector<int32_t> ids;
    std::vector<float> weights;
    for (int64_t i = 0; i < n * top_k; ++i) {
      const int64_t token = i / top_k, choice = i % top_k;
      ids.push_back(drop && i % 11 == 5 ? -1 : static_cast<int32_t>((token * token + choice) % n_experts));
      weights.push_back(0.1f + 0.05f * static_cast<float>(i % 9));
    }
    routing = {s.ints(ids).reshape({n, top_k}), s.floats(weights).reshape({n, top_k})};
    groups = {s.ints(std::vector<int32_t>(n_experts + 1)), s.ints(std::vector<int32_t>(n * top_k)),
              s.zeros(DType::kI64, 1, n_experts).reshape({n_experts})};
    s.b.group_by_expert(routing, n_experts, groups);
  }
  Routing routing;
  ExpertGroups groups;
};

TEST_F(Cuda, GroupByExpert) {
  for (const int64_t n : {1, 40, 700}) {
    for (const int experts : {1, 7, 300}) {
      const TestRun run = [&](Side& s) -> Results {
        const Choices c(s, n, std::min(3, experts), experts, true);
        s.b.group_by_expert(c.routing, experts, c.groups);  // loads are added
        return {s.get(c.groups.offsets), s.get(c.groups.pairs), s.get(c.groups.load)};
      };
      compare("group_by_expert", run, 0);
    }
  }
}

TEST_F(Cuda, GroupedLinearAndCombine) {
  for (const DType type : {DType::kF32, DType::kBf16, DType::kF16}) {
    for (const int64_t n : {1, 30, 500}) {
      const TestRun run = [&](Side& s) -> Results {
        const int64_t top_k = 2, rows = 48, cols = 41;
        const Choices c(s, n, top_k, 5, true);
        const Weight& w = s.weight({.groups = 5, .rows = rows, .cols = cols}, type, 6);
        const Tensor x = s.matrix(DType::kF32, n, cols, 7), y = s.zeros(DType::kF32, n * top_k, rows);
        const Tensor out = s.matrix(DType::kF32, n, rows, 8, 1, 2), again = s.zeros(DType::kF32, n * top_k, rows);
        const Tensor z = s.matrix(DType::kF32, n * top_k, cols, 9);
        s.b.grouped_linear(x, w, s.matrix(DType::kF32, 5, rows, 10).f32(), c.groups, top_k, true, y);
        s.b.combine(y, c.groups, c.routing, 2, out);
        s.b.grouped_linear(z, w, nullptr, c.groups, top_k, false, again);
        return {s.get(y), s.get(out), s.get(again)};
      };
      compare("grouped_linear", run, 1e-4, 1e-5);
    }
  }
}

TEST_F(Cuda, Glu) {
  for (const GluKind kind : {GluKind::kSilu, GluKind::kSwigluClamp, GluKind::kGelu}) {
    const TestRun run = [&](Side& s) -> Results {
      const Tensor x = s.matrix(DType::kF32, 9, 2 * 37, 10, 20), y = s.zeros(DType::kF32, 9, 37);
      s.b.glu({kind, 3.0f, 1.7f}, x, y);
      return {s.get(y)};
    };
    compare("glu", run, 1e-5, 1e-5);
  }
}

struct MlpCase {
  GluKind glu;
  int n_experts;
  int64_t top_k, n, hidden, inner;
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
                             {GluKind::kSilu, 2, 2, 1090, 136, 20, false, false, false}};

TEST_F(Cuda, ExpertMlp) {
  for (const DType type : {DType::kF32, DType::kBf16, DType::kF16}) {
    for (const MlpCase& c : kMlps) {
      SCOPED_TRACE(testing::Message() << tensor::dtype_name(type) << " hidden " << c.hidden << " n " << c.n);
      const TestRun run = [&](Side& s) -> Results {
        const WeightShape up{.groups = c.n_experts, .rows = 2 * c.inner, .cols = c.hidden, .glu = true};
        const WeightShape back{.groups = c.n_experts, .rows = c.hidden, .cols = c.inner};
        ExpertMlp mlp{.gate_up = &s.weight(up, type, 11, 0.3f),
                      .down = &s.weight(back, type, 12, 0.3f),
                      .glu = {c.glu},
                      .weight_on_input = c.on_input,
                      .scale = 0.7f};
        if (c.bias) {
          mlp.gate_up_bias = s.matrix(DType::kF32, c.n_experts, 2 * c.inner, 13).f32();
          mlp.down_bias = s.matrix(DType::kF32, c.n_experts, c.hidden, 14).f32();
        }
        const Choices choices(s, c.n, c.top_k, c.n_experts, c.drop);
        const Tensor x = s.matrix(s.b.activation_dtype(type), c.n, c.hidden, 15);
        const Tensor out = s.matrix(DType::kF32, c.n, c.hidden, 16, 1, 4);
        s.b.expert_mlp(mlp, x, choices.routing, choices.groups, out);
        return {s.get(out)};
      };
      // An inner number at the edge of two bf16 values may fall on the other side.
      compare("expert_mlp", run, type == DType::kBf16 ? 1e-2 : 1e-4, type == DType::kBf16 ? 2e-3 : 1e-5);
    }
  }
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
      s.b.copy_heads(3, 7, y, 8, wide, 30);
      s.b.scale_rows(s.floats({1, 2}), some);
      return {s.get(y), s.get(some), s.get(wide)};
    };
    compare("embed", run, 0);
    for (const DType stored : {DType::kF32, DType::kBf16, DType::kF16}) {
      const TestRun transposed = [&](Side& s) -> Results {
        TestMatrix source(stored, 600, 21);  // the weight is its transpose
        source.randomize(21);
        Weight w = s.b.make_weight({.groups = 2, .rows = 21, .cols = 600}, type).value();
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
      compare("fill_weight", transposed, 0);
    }
  }
}

TEST_F(Cuda, GeneratedWeights) {
  std::vector<float> quantiles(quant::kQuantiles);
  for (size_t i = 0; i < quantiles.size(); ++i) quantiles[i] = static_cast<float>(i) / 1000 - 2;
  for (const DType type : {DType::kF32, DType::kBf16}) {
    Side s(*cuda_);
    Weight w = s.b.make_weight({.rows = 30, .cols = 21}, type).value();
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
          const Tensor x = s.matrix(act, 7, 2 * width, 30, 1, 2), y = s.zeros(act, 7, 2 * width);
          const float *weight = s.matrix(DType::kF32, 1, width, 31).f32(),
                      *bias = s.matrix(DType::kF32, 1, width, 32).f32();
          s.b.norm({kind, 1e-5f, 2, weight, kind == NormKind::kLayer ? bias : nullptr}, x, y);
          s.b.norm({kind, 1e-5f, 1, nullptr, nullptr}, x, x);
          return {s.get(y), s.get(x)};
        };
        compare("norm", run, 1e-4, act == DType::kBf16 ? kBf16Step : 1e-4);
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
      compare("rope", run, 1e-6);
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
        const Tensor logits = s.matrix(DType::kF32, kRows, experts, 33, 4);
        const std::vector<float> broken(static_cast<size_t>(experts), std::numeric_limits<float>::quiet_NaN());
        s.b.copy_in(logits.slice_rows(3, 1), broken.data());
        std::vector<int32_t> tokens(kRows);
        for (int32_t i = 0; i < kRows; ++i) tokens[i] = 17 * i;
        const Routing out{s.zeros(DType::kI32, kRows, config.top_k), s.zeros(DType::kF32, kRows, config.top_k)};
        const float* bias = s.matrix(DType::kF32, 1, experts, 34, 0.1f).f32();
        s.b.route(config, router.route, logits, bias, s.ints(tokens), out);
        return {s.get(out.ids), s.get(out.weights)};
      };
      compare(std::string(router.name).c_str(), run, 1e-6, 1e-5);
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
  const Tensor read = cuda_->read({DType::kF32, {2, 2048}, t.data});
  EXPECT_EQ(std::vector<float>(read.f32(), read.f32() + 4096),
            std::vector<float>(values.begin(), values.begin() + 4096));
}

}  // namespace
}  // namespace polymath::backend
