// Packed weights on the CUDA backend against the reference, which decodes the same blocks to f32. Every format that is
// kept packed, and every variant of the packed op families. The GPU multiplies bf16 values, or E4M3 ones: those inputs
// are such that rounding does not change them. Skipped, with the reason, without a GPU.

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <string>

#include "backend/cuda/cuda_backend.h"
#include "backend/cuda/cuda_side_test.h"
#include "backend/cuda/packed/packed.h"
#include "backend/reference/reference_backend.h"
#include "quant/test_blocks.h"

namespace polymath::backend {
namespace {

constexpr double kBf16Half = 1.0 / 256;                      // half a step between neighbours near 1, relative
constexpr double kLinearError = 0.006, kExpertError = 0.01;  // of outputs rounded to bf16 too
// A value of [1, 2) is off by 2^-4 at most in E4M3, evenly: 0.036 in the mean square. Relative to the value that is the
// most where all are near 1.
constexpr double kRoundedError = 0.04;

StepLimits limits() {
  StepLimits l{.tokens_max = 1300,
               .seqs_max = 64,
               .blocks_max = 64,
               .hidden_max = 8192,
               .pairs_max = 4000,
               .intermediate_max = 8192,
               .expert_io_max = 1024,
               .attention_max = 512,
               .key_dim_max = 64,
               .packed_linear_max = 1 << 23};
  l.experts = {{64, 1024, 512, 4000, DType::kU8},
               {1, 1024, 1024, 1300, DType::kU8},
               {2, 512, 8192, 64, DType::kU8},
               {8, 512, 256, 4000, DType::kBf16}};
  return l;
}

// Weights of one backend, of random blocks.
class Blocks {
 public:
  explicit Blocks(Backend& backend) : b_(backend) {}
  const Weight& make(const WeightShape& shape, const quant::QuantFormat& format, uint32_t seed) {
    const int64_t n = shape.groups * shape.rows * shape.cols;
    bytes_ = quant::random_blocks(format, n, seed);
    weights_.push_back(std::make_unique<Weight>(b_.make_weight(shape, format).value()));
    Weight& w = *weights_.back();
    for (int64_t g = 0; g < shape.groups; ++g) {
      // In pieces, as joined projections come.
      for (const auto& [begin, end] : {std::pair{int64_t{0}, shape.rows / 3}, std::pair{shape.rows / 3, shape.rows}}) {
        b_.fill_weight(w, g, begin,
                       {&format, bytes_.data() + format.bytes_of((g * shape.rows + begin) * shape.cols), end - begin,
                        shape.cols, shape.cols});
      }
    }
    return w;
  }

 private:
  Backend& b_;
  std::vector<std::byte> bytes_;
  std::vector<std::unique_ptr<Weight>> weights_;
};

std::vector<const quant::QuantFormat*> packed_formats() {
  std::vector<const quant::QuantFormat*> formats;
  for (const quant::ScalePlaces& places : quant::kScalePlaces) formats.push_back(quant::find_format(places.format));
  return formats;
}

class CudaPacked : public testing::TestWithParam<const quant::QuantFormat*> {
 protected:
  void SetUp() override {
    auto made = make_cuda_backend({.threads = 2});
    if (!made.ok()) GTEST_SKIP() << made.status().message();
    cuda_ = *std::move(made);
    reference_ = make_reference_backend({}).value();
    if (&cuda_->kept_format(format(), quant::WeightUse::kLinear, DType::kBf16) != &format()) {
      GTEST_SKIP() << format().name << " is unpacked at load";
    }
    for (Backend* b : {cuda_.get(), reference_.get()}) ASSERT_TRUE(b->reserve(limits()).ok());
  }
  const quant::QuantFormat& format() { return *GetParam(); }
  int64_t block() { return format().block_cols; }

  // A network's intermediates are rounded to E4M3 where the variant that does so is the faster one, or is forced.
  double expert_error(int64_t pairs, int64_t n_experts) {
    return format().name == "fp8_g128" && pairs >= 128 * n_experts ? kRoundedError : kExpertError;
  }
  static double bound_of(std::string_view variant, double bound) {
    return variant == "e4m3_grouped_gemm_sm90" ? kRoundedError : bound;
  }
  // Each variant of `op`, where it fits, against the reference: the norm of the difference.
  void compare(const TestRun& run, double bound, std::string_view op) {
    Side there(*reference_);
    const Results expected = run(there);
    for (const KernelInfo& family : cuda_->kernels()) {
      if (family.op != op) continue;
      for (const KernelInfo::Variant& variant : family.variants) {
        SCOPED_TRACE(variant.name);
        ASSERT_TRUE(force_kernel(*cuda_, op, variant.name));
        Side here(*cuda_);
        const Results got = run(here);
        ASSERT_TRUE(cuda_->health().ok()) << cuda_->health();
        ASSERT_EQ(got.size(), expected.size());
        for (size_t r = 0; r < got.size(); ++r) {
          EXPECT_LT(relative_error(got[r], expected[r]), bound_of(variant.name, bound)) << "result " << r;
        }
      }
    }
    ASSERT_TRUE(force_kernel(*cuda_, op, ""));
  }
  static double relative_error(const std::vector<double>& got, const std::vector<double>& expected) {
    double difference = 0, norm = 0;
    for (size_t i = 0; i < got.size(); ++i) {
      difference += std::pow(got[i] - expected[i], 2);
      norm += std::pow(expected[i], 2);
    }
    return std::sqrt(difference / norm);  // a NaN fails every bound
  }

  std::unique_ptr<Backend> cuda_, reference_;
};

INSTANTIATE_TEST_SUITE_P(All, CudaPacked, testing::ValuesIn(packed_formats()),
                         [](const auto& info) { return std::string(info.param->name); });

// Unit vectors give every value of a weight: [rows][cols].
std::vector<double> values_of(Backend& b, const Weight& w) {
  const int64_t rows = w.shape.rows, cols = w.shape.cols;
  std::vector<double> values(static_cast<size_t>(rows * cols));
  Side s(b);
  for (int64_t first = 0; first < cols; first += 64) {
    const int64_t n = std::min<int64_t>(64, cols - first);
    TestMatrix units(DType::kBf16, n, cols);
    for (int64_t i = 0; i < n; ++i) units.tensor().u16()[i * cols + first + i] = 0x3f80;
    const Tensor x = s.zeros(DType::kBf16, n, cols), y = s.zeros(DType::kF32, n, rows);
    b.copy_in(x, units.bytes.data());
    b.linear(x, w, {}, y);
    const auto got = s.get(y);
    for (int64_t i = 0; i < n * rows; ++i) {
      values[static_cast<size_t>(i % rows * cols + first + i / rows)] = got[static_cast<size_t>(i)];
    }
  }
  return values;
}

TEST_P(CudaPacked, EveryValueIsTheFormats) {
  const int64_t rows = 80, cols = 3 * block();
  const auto bytes = quant::random_blocks(format(), rows * cols, 5);
  std::vector<float> exact(static_cast<size_t>(rows * cols));
  format().dequantize({bytes.data()}, 0, exact.data(), rows * cols);
  for (const auto& [variant, glu] : {std::pair{"packed_small_m_sm90", false}, std::pair{"packed_small_m_sm90", true},
                                     std::pair{"unpack", false}, std::pair{"unpack", true}}) {
    SCOPED_TRACE(testing::Message() << variant << (glu ? " glu" : ""));
    ASSERT_TRUE(force_kernel(*cuda_, "packed_linear", variant));
    Blocks blocks(*cuda_);
    const auto got = values_of(*cuda_, blocks.make({.rows = rows, .cols = cols, .glu = glu}, format(), 5));
    for (size_t i = 0; i < got.size(); ++i) {
      float largest = 0;  // of 16 values, which share a scale in every format
      for (size_t k = i / 16 * 16; k < i / 16 * 16 + 16; ++k) largest = std::max(largest, std::abs(exact[k]));
      ASSERT_NEAR(got[i], exact[i], 3 * kBf16Half * largest) << "value " << i;
    }
  }
}

TEST_P(CudaPacked, Linear) {
  struct {
    int64_t rows, cols_in_blocks;
    bool glu;
  } const shapes[] = {{48, 2, false}, {33, 1, false},  {96, 5, true},
                      {17, 1, false}, {272, 7, false}, {4096, 16, false}};
  uint32_t seed = 0;
  for (const auto& shape : shapes) {
    const int64_t cols = shape.cols_in_blocks * block();
    if (shape.rows * cols > 1 << 20) continue;
    for (const int64_t n : {1, 5, 16, 17, 33, 64, 65, 100, 200, 300}) {
      SCOPED_TRACE(testing::Message() << shape.rows << " x " << cols << " n " << n);
      ++seed;
      const TestRun run = [&](Side& s) -> Results {
        Blocks blocks(s.b);
        const Weight& w = blocks.make({.rows = shape.rows, .cols = cols, .glu = shape.glu}, format(), seed);
        const float* bias = s.matrix(DType::kF32, 1, shape.rows, seed + 1).f32();
        const Tensor x = s.matrix(DType::kBf16, n, cols, seed + 2, {.gap = n % 2 == 0 ? 8 : 3, .e4m3 = true});
        const Tensor y = s.matrix(DType::kF32, n, shape.rows, seed + 3, {.gap = 5});
        const Tensor sum = s.matrix(DType::kF32, n, shape.rows, seed + 4);
        const Tensor narrow = s.matrix(DType::kBf16, n, shape.rows, seed + 5);
        s.b.linear(x, w, {.bias = bias, .scale = 0.5f}, y);
        s.b.linear(x, w, {.accumulate = true, .scale = 0.7f}, sum);
        s.b.linear(x, w, {}, narrow);  // both round it
        return {s.get(y), s.get(sum), s.get(narrow)};
      };
      compare(run, kLinearError, "packed_linear");
    }
  }
}

TEST_P(CudaPacked, BatchedAndGroupedLinear) {
  const int64_t cols = block(), n = 14;
  const TestRun run = [&](Side& s) -> Results {
    Blocks blocks(s.b);
    const Weight& w = blocks.make({.groups = 5, .rows = 40, .cols = cols}, format(), 3);
    const Tensor x = s.matrix(DType::kBf16, n, 5 * cols, 4), y = s.zeros(DType::kF32, n, 5 * 40);
    s.b.batched_linear(x, cols, w, 40, y);
    const Choices choices(s, n, 2, 5, true);
    const Tensor token = s.matrix(DType::kBf16, n, cols, 5), pairs = s.zeros(DType::kF32, 2 * n, 40);
    s.b.grouped_linear({&w, nullptr, &choices.groups, 2, true}, token, pairs);
    return {s.get(y), s.get(pairs)};
  };
  compare(run, kLinearError, "packed_linear");
}

struct ExpertCase {
  GluKind glu;
  int n_experts;
  int64_t top_k, n, hidden_blocks, intermediate_blocks;
  bool bias, on_input, drop;
};
constexpr ExpertCase kExperts[] = {{GluKind::kSilu, 6, 2, 1, 2, 1, false, false, false},
                                   {GluKind::kSilu, 64, 4, 1, 4, 2, false, false, true},
                                   {GluKind::kSwigluClamp, 6, 3, 1, 2, 1, true, false, true},
                                   {GluKind::kSilu, 6, 2, 7, 2, 3, false, false, true},
                                   {GluKind::kSilu, 40, 4, 8, 3, 1, false, false, false},
                                   {GluKind::kSwigluClamp, 4, 3, 20, 2, 1, true, false, true},
                                   {GluKind::kSwigluClamp, 4, 3, 33, 1, 1, true, false, false},
                                   {GluKind::kSilu, 5, 1, 25, 1, 1, false, true, false},
                                   {GluKind::kSilu, 12, 4, 100, 2, 2, false, false, true},
                                   {GluKind::kSilu, 3, 2, 700, 2, 1, false, false, false},
                                   {GluKind::kSilu, 16, 4, 80, 3, 2, false, false, true},
                                   {GluKind::kSwigluClamp, 5, 2, 333, 2, 3, true, false, true},
                                   {GluKind::kGelu, 1, 1, 30, 2, 1, false, false, false},
                                   {GluKind::kGelu, 1, 1, 300, 1, 1, true, false, false}};

// gate_up in the format, down in `second`.
struct Networks {
  const quant::QuantFormat &first, &second;
  int n_experts;
  int64_t hidden, intermediate;
  ExpertMlp make(Blocks& blocks, GluKind glu, uint32_t seed) const {
    const WeightShape up{.groups = n_experts, .rows = 2 * intermediate, .cols = hidden, .glu = true};
    const WeightShape back{.groups = n_experts, .rows = hidden, .cols = intermediate};
    return {.gate_up = &blocks.make(up, first, seed),
            .down = &blocks.make(back, second, seed + 1),
            .glu = {glu},
            .scale = 0.7f};
  }
};

TEST_P(CudaPacked, ExpertMlp) {
  for (const ExpertCase& c : kExperts) {
    const Networks networks{format(), format(), c.n_experts, c.hidden_blocks * block(),
                            c.intermediate_blocks * block()};
    SCOPED_TRACE(testing::Message() << "experts " << c.n_experts << " n " << c.n << " hidden " << networks.hidden);
    const TestRun run = [&](Side& s) -> Results {
      Blocks blocks(s.b);
      ExpertMlp mlp = networks.make(blocks, c.glu, 11);
      mlp.weight_on_input = c.on_input;
      if (c.bias) {
        mlp.gate_up_bias = s.matrix(DType::kF32, c.n_experts, 2 * networks.intermediate, 13).f32();
        mlp.down_bias = s.matrix(DType::kF32, c.n_experts, networks.hidden, 14).f32();
      }
      const Choices choices(s, c.n, c.top_k, c.n_experts, c.drop);
      const Tensor x = s.matrix(DType::kBf16, c.n, networks.hidden, 15, {.e4m3 = true});
      const Tensor out = s.zeros(DType::kF32, c.n, networks.hidden);
      for (int i = 0; i < 2; ++i) s.b.expert_mlp(mlp, x, choices.routing, choices.groups, out);
      return {s.get(out)};
    };
    compare(run, expert_error(c.n * c.top_k, c.n_experts), "packed_expert_mlp");
  }
}

TEST_P(CudaPacked, LongInputsAreCut) {
  const int64_t intermediate = 8192;
  const Networks networks{format(), format(), 2, 512, intermediate};
  for (const int64_t n : {1, 3}) {
    const TestRun run = [&](Side& s) -> Results {
      Blocks blocks(s.b);
      const ExpertMlp mlp = networks.make(blocks, GluKind::kSilu, 31);
      const Choices choices(s, n, 1, 2, false);
      const Tensor x = s.matrix(DType::kBf16, n, 512, 15, {.scale = 0.1f, .e4m3 = true}),
                   out = s.zeros(DType::kF32, n, 512);
      s.b.expert_mlp(mlp, x, choices.routing, choices.groups, out);
      return {s.get(out)};
    };
    compare(run, kExpertError, "packed_expert_mlp");
  }
}

TEST_P(CudaPacked, ExpertMlpWithShared) {
  struct {
    int n_experts;
    int64_t top_k, n, shared_blocks;
    bool drop;
  } const cases[] = {
      {6, 2, 1, 3, false}, {64, 4, 1, 2, true}, {8, 2, 8, 4, false}, {6, 2, 40, 1, true}, {6, 2, 200, 1, false}};
  for (const auto& c : cases) {
    const int64_t hidden = 2 * block();
    const Networks networks{format(), format(), c.n_experts, hidden, block()};
    const Networks shared_networks{format(), format(), 1, hidden, c.shared_blocks * block()};
    SCOPED_TRACE(testing::Message() << "experts " << c.n_experts << " n " << c.n);
    const TestRun run = [&](Side& s) -> Results {
      Blocks blocks(s.b);
      const ExpertMlp mlp = networks.make(blocks, GluKind::kSilu, 11);
      const ExpertMlp shared = shared_networks.make(blocks, GluKind::kSilu, 21);
      const Choices choices(s, c.n, c.top_k, c.n_experts, c.drop), all(s, c.n, 1, 1, false);
      const Tensor x = s.matrix(DType::kBf16, c.n, hidden, 15, {.e4m3 = true});
      const Tensor out = s.zeros(DType::kF32, c.n, hidden);
      for (int i = 0; i < 2; ++i) {
        s.b.expert_mlp_with_shared({&mlp, choices.routing, choices.groups}, {&shared, all.routing, all.groups}, x, out);
      }
      return {s.get(out)};
    };
    compare(run, expert_error(c.n * c.top_k, c.n_experts), "packed_expert_mlp_with_shared");
  }
}

// Files mix formats: some pairs have kernels, the others are unpacked.
TEST_P(CudaPacked, ExpertMlpOfTwoFormats) {
  for (const quant::QuantFormat* second : {quant::find_format("q8_0"), quant::find_format("q6_k"), &quant::kBf16}) {
    if (second == &format()) continue;
    for (const int64_t n : {1, 12, 300}) {
      SCOPED_TRACE(testing::Message() << second->name << " n " << n);
      const TestRun run = [&](Side& s) -> Results {
        Blocks blocks(s.b);
        const Networks networks{format(), format(), 6, 512, 256};
        ExpertMlp mlp = networks.make(blocks, GluKind::kSilu, 11);
        const WeightShape back{.groups = 6, .rows = 512, .cols = 256};
        mlp.down = second->plain() ? &s.weight(back, DType::kBf16, 12, 0.3f) : &blocks.make(back, *second, 12);
        const Choices choices(s, n, 2, 6, true);
        const Tensor x = s.matrix(DType::kBf16, n, 512, 15, {.e4m3 = true}), out = s.zeros(DType::kF32, n, 512);
        s.b.expert_mlp(mlp, x, choices.routing, choices.groups, out);
        return {s.get(out)};
      };
      compare(run, kExpertError, "packed_expert_mlp");
    }
  }
}

TEST_P(CudaPacked, DummyWeightsHaveTheDeviation) {
  const int64_t rows = 96, cols = 2 * std::max<int64_t>(block(), 64);
  Weight w = cuda_->make_weight({.rows = rows, .cols = cols, .glu = true}, format()).value();
  const quant::Generator generator{7, nullptr, 0.02f, &quant::kBf16};
  ASSERT_TRUE(cuda_->generate_weight(w, 0, 0, {generator, 0, rows / 2, cols, cols, 1}));
  ASSERT_TRUE(cuda_->generate_weight(w, 0, rows / 2, {generator, rows / 2 * cols, rows / 2, cols, cols, 1}));
  double sum = 0, squares = 0;
  const auto values = values_of(*cuda_, w);
  for (const double v : values) sum += v, squares += v * v;
  const auto n = static_cast<double>(values.size());
  EXPECT_NEAR(sum / n, 0, 0.002);
  EXPECT_GT(std::sqrt(squares / n), 0.009);  // E2M1's scales are powers of two
  EXPECT_LT(std::sqrt(squares / n), 0.03);
}

// Needs no GPU: a scale that the kernels would cut is refused at load.
TEST(CudaPackedScales, OnesThatACellCannotHoldDoNotFit) {
  const auto* mxfp4 = cuda::find_packed_format("mxfp4");
  for (const int exponent : {0, 127, 128, 129, 255}) {
    const auto byte = static_cast<uint8_t>(exponent);
    EXPECT_EQ(mxfp4->scale_fits(&byte), exponent <= 128) << exponent;
  }
  for (const char* name : {"fp8_g32", "fp8_g128"}) {
    const auto* fp8 = cuda::find_packed_format(name);
    for (const float scale : {0.0f, -255.0f, 255.0f, 255.5f, -256.0f, std::nanf("")}) {
      uint8_t block[sizeof(float)];
      std::memcpy(block, &scale, sizeof(scale));
      EXPECT_EQ(fp8->scale_fits(block), std::abs(scale) <= 255) << scale;
    }
  }
  for (const char* name : {"int4_g32", "int4_g128"}) {
    const auto* int4 = cuda::find_packed_format(name);
    for (const float scale : {0.0f, -255.0f, 255.0f, 256.0f, std::nanf("")}) {
      uint8_t block[sizeof(float)];
      std::memcpy(block, &scale, sizeof(scale));
      EXPECT_EQ(int4->scale_fits(block), std::abs(scale) <= 255) << scale;
    }
  }
  for (const auto& [name, most] : {std::pair{"q4_0", 255.0f}, std::pair{"q4_k", 4.0f}}) {
    for (const float scale : {0.0f, -4.0f, 4.0f, 5.0f, 255.0f, -256.0f, std::nanf("")}) {
      const uint16_t half = tensor::f32_to_f16(scale);
      uint8_t block[sizeof(half)];
      std::memcpy(block, &half, sizeof(half));
      EXPECT_EQ(cuda::find_packed_format(name)->scale_fits(block), std::abs(scale) <= most) << name << " " << scale;
    }
  }
  EXPECT_EQ(cuda::find_packed_format("q8_0")->scale_fits, nullptr);
}

}  // namespace
}  // namespace polymath::backend
