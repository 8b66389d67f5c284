// Packed weights against the same weights unpacked by the test: every packed format, on every host backend. With f32
// inputs both unpack to f32 and sum in the same order, so they agree bit for bit. With bf16 inputs the CPU rounds these
// to int8 in blocks of 32. Then it agrees with the GEMM of the rounded inputs, but for the order of sums.

#include <gtest/gtest.h>

#include <cmath>

#include "backend/test_values.h"
#include "quant/test_blocks.h"

namespace polymath::backend {
namespace {

constexpr StepLimits kLimits{.tokens_max = 600,
                             .seqs_max = 4,
                             .blocks_max = 4,
                             .hidden_max = 5000,
                             .pairs_max = 1200,
                             .intermediate_max = 600,
                             .attention_max = 64,
                             .key_dim_max = 64};

struct Case {
  std::string backend, isa;
  const quant::QuantFormat* format;
};

void PrintTo(const Case& c, std::ostream* out) { *out << c.backend << " " << c.isa << " " << c.format->name; }

std::vector<Case> cases() {
  std::vector<Case> out;
  for (const quant::ScalePlaces& places : quant::kScalePlaces) {
    const quant::QuantFormat* format = quant::find_format(places.format);
    out.push_back({"reference", "", format});
    for (const char* isa : {"portable", "avx2", "avx512", "amx"}) {
      if (make_backend("cpu", {.threads = 1, .isa = isa}).ok()) out.push_back({"cpu", isa, format});
    }
  }
  return out;
}

// A packed weight, and the same values in f32.
class PackedWeight {
 public:
  PackedWeight(Backend& backend, const quant::QuantFormat& format, const WeightShape& shape, uint32_t seed)
      : values_(DType::kF32, shape.groups * shape.rows, shape.cols) {
    const int64_t n = shape.groups * shape.rows * shape.cols;
    bytes_ = quant::random_blocks(format, n, seed);
    format.dequantize({bytes_.data()}, 0, reinterpret_cast<float*>(values_.bytes.data()), n);
    packed = make(backend, shape, format, {&format, bytes_.data(), shape.rows, shape.cols, shape.cols});
    plain = make(backend, shape, quant::kF32, {&quant::kF32, values_.bytes.data(), shape.rows, shape.cols, shape.cols});
  }

  Weight packed, plain;

 private:
  // In two pieces, as joined projections come.
  static Weight make(Backend& backend, const WeightShape& shape, const quant::QuantFormat& kept,
                     const quant::MatrixView& first) {
    Weight w = backend.make_weight(shape, kept).value();
    for (int64_t g = 0; g < shape.groups; ++g) {
      for (const auto& [begin, end] : {std::pair{int64_t{0}, shape.rows / 3}, std::pair{shape.rows / 3, shape.rows}}) {
        quant::MatrixView view = first;
        view.data += first.format->bytes_of((g * shape.rows + begin) * shape.cols);
        view.rows = end - begin;
        backend.fill_weight(w, g, begin, view);
      }
    }
    return w;
  }

  TestMatrix values_;
  std::vector<std::byte> bytes_;
};

// The inputs as the CPU rounds them: int8 in blocks of 32, in f32.
TestMatrix rounded(TestMatrix& x) {
  TestMatrix out(DType::kF32, x.n_rows, x.n_cols);
  x.pull();
  for (int64_t i = 0; i < x.n_rows; ++i) {
    for (int64_t begin = 0; begin < x.n_cols; begin += 32) {
      float largest = 0;
      for (int64_t c = begin; c < begin + 32; ++c) largest = std::max(largest, std::abs(x.at(i, c)));
      for (int64_t c = begin; c < begin + 32; ++c) {
        const float q = largest > 0 ? std::nearbyint(x.at(i, c) * (127 / largest)) : 0;
        out.tensor().f32()[i * out.tensor().stride() + c] = q * (largest / 127);
      }
    }
  }
  out.pull();
  return out;
}

double relative_error(TestMatrix& got, TestMatrix& expected) {
  got.pull();
  expected.pull();
  double difference = 0, norm = 0;
  for (int64_t i = 0; i < got.n_rows; ++i) {
    for (int64_t c = 0; c < got.n_cols; ++c) {
      difference += std::pow(got.at(i, c) - expected.at(i, c), 2);
      norm += std::pow(expected.at(i, c), 2);
    }
  }
  return std::sqrt(difference / norm);
}
constexpr double kSumError = 1e-5, kInt8Error = 0.02;

void expect_equal(TestMatrix& got, TestMatrix& expected) {
  got.pull();
  expected.pull();
  for (int64_t i = 0; i < got.n_rows; ++i) {
    for (int64_t c = 0; c < got.n_cols; ++c) ASSERT_EQ(got.at(i, c), expected.at(i, c)) << i << ", " << c;
  }
}

class PackedWeights : public testing::TestWithParam<Case> {
 protected:
  void SetUp() override {
    backend_ = make_backend(GetParam().backend, {.threads = 2, .isa = GetParam().isa}).value();
    ASSERT_TRUE(backend_->reserve(kLimits).ok());
  }
  Backend& b() { return *backend_; }
  // Floats are multiplied as they are.
  bool rounds(DType act) const {
    return act == DType::kBf16 && GetParam().backend == "cpu" && !format().name.starts_with("fp8") &&
           format().name != "nf4";
  }
  const quant::QuantFormat& format() const { return *GetParam().format; }

  void expect_linear(const PackedWeight& w, int64_t n, DType act, uint32_t seed) {
    const WeightShape& shape = w.packed.shape;
    TestMatrix x(act, n, shape.cols, 3), y(DType::kF32, n, shape.rows, 5), expected(DType::kF32, n, shape.rows, 5);
    x.randomize(seed);
    b().linear(x.tensor(), w.packed, {.scale = 0.5f}, y.tensor());
    if (!rounds(act)) {
      b().linear(x.tensor(), w.plain, {.scale = 0.5f}, expected.tensor());
      return expect_equal(y, expected);
    }
    TestMatrix inputs = rounded(x);
    b().linear(inputs.tensor(), w.plain, {.scale = 0.5f}, expected.tensor());
    EXPECT_LT(relative_error(y, expected), kSumError) << n;
  }

  std::unique_ptr<Backend> backend_;
};

INSTANTIATE_TEST_SUITE_P(All, PackedWeights, testing::ValuesIn(cases()), [](const auto& info) {
  return info.param.backend + info.param.isa + "_" + std::string(info.param.format->name);
});

TEST_P(PackedWeights, AreKeptWhereMatricesAreMultiplied) {
  using quant::WeightUse;
  for (const DType dtype : {DType::kF32, DType::kBf16}) {
    for (const WeightUse use : {WeightUse::kLinear, WeightUse::kExperts, WeightUse::kEmbedding}) {
      EXPECT_EQ(&b().kept_format(format(), use, dtype), &format());
      EXPECT_EQ(&b().kept_format(quant::kF16, use, dtype), &quant::plain_format(dtype));
    }
    EXPECT_EQ(&b().kept_format(format(), WeightUse::kRouter, dtype), &quant::kF32);
    EXPECT_EQ(&b().kept_format(format(), WeightUse::kVector, dtype), &quant::kF32);
  }
  const WeightShape shape{.rows = 32, .cols = 2 * int64_t{format().block_cols}};
  EXPECT_EQ(b().weight_bytes(shape, format()), static_cast<size_t>(format().bytes_of(shape.rows * shape.cols)));
}

TEST_P(PackedWeights, Linear) {
  struct {
    int64_t rows, cols_in_blocks;
    bool glu;
  } const shapes[] = {{48, 2, false}, {33, 1, false}, {96, 5, true}, {1, 1, false}, {80, 3, true}, {40, 80, false}};
  uint32_t seed = 0;
  for (const auto& shape : shapes) {
    const int64_t cols = shape.cols_in_blocks * format().block_cols;
    if (cols > kLimits.hidden_max) continue;
    const PackedWeight w(b(), format(), {.rows = shape.rows, .cols = cols, .glu = shape.glu}, ++seed);
    for (const int64_t n : {1, 2, 5, 13, 500}) {
      if (n == 500 && GetParam().backend == "reference") continue;
      for (const DType act : {DType::kF32, DType::kBf16}) expect_linear(w, n, act, ++seed);
    }
  }
}

// A row's outputs do not depend on the rows beside it.
TEST_P(PackedWeights, LinearOfARowIsThatOfItAlone) {
  const int64_t cols = 3 * format().block_cols, n = 45;
  const PackedWeight w(b(), format(), {.rows = 40, .cols = cols}, 1);
  for (const DType act : {DType::kF32, DType::kBf16}) {
    TestMatrix x(act, n, cols), y(DType::kF32, n, 40), alone(DType::kF32, n, 40);
    x.randomize(2);
    b().linear(x.tensor(), w.packed, {}, y.tensor());
    for (int64_t i = 0; i < n; ++i) {
      b().linear(x.tensor().slice_rows(i, 1), w.packed, {}, alone.tensor().slice_rows(i, 1));
    }
    expect_equal(y, alone);
  }
}

// A NaN stays one, and in its row.
TEST_P(PackedWeights, LinearKeepsNaN) {
  const int64_t cols = format().block_cols;
  const PackedWeight w(b(), format(), {.rows = 33, .cols = cols}, 1);
  TestMatrix x(DType::kBf16, 2, cols), y(DType::kF32, 2, 33);
  x.randomize(2);
  x.tensor().u16()[5] = 0x7fc0;
  b().linear(x.tensor(), w.packed, {}, y.tensor());
  y.pull();
  for (int64_t r = 0; r < 33; ++r) {
    EXPECT_TRUE(std::isnan(y.at(0, r)));
    EXPECT_FALSE(std::isnan(y.at(1, r)));
  }
}

TEST_P(PackedWeights, BatchedLinear) {
  const int64_t cols = format().block_cols, n = 14;
  const PackedWeight w(b(), format(), {.groups = 5, .rows = 40, .cols = cols}, 3);
  TestMatrix x(DType::kF32, n, 5 * cols), y(DType::kF32, n, 5 * 40), expected(DType::kF32, n, 5 * 40);
  x.randomize(4);
  b().batched_linear(x.tensor(), cols, w.packed, 40, y.tensor());
  b().batched_linear(x.tensor(), cols, w.plain, 40, expected.tensor());
  expect_equal(y, expected);
}

TEST_P(PackedWeights, Embed) {
  const int64_t cols = 3 * format().block_cols;
  const PackedWeight w(b(), format(), {.rows = 50, .cols = cols}, 5);
  std::vector<int32_t> ids = {0, 17, 49, 33, 17};
  for (const DType act : {DType::kF32, DType::kBf16}) {
    TestMatrix y(act, 5, cols, 7), expected(act, 5, cols, 7);
    b().embed(w.packed, ints(ids), 1.5f, y.tensor());
    b().embed(w.plain, ints(ids), 1.5f, expected.tensor());
    expect_equal(y, expected);
  }
}

// Each of 30 tokens at two of five experts.
struct Visits {
  Visits() {
    for (int32_t i = 0; i < 60; ++i) ids.push_back((i / 2 * 3 + i % 2) % 5), weights.push_back(0.1f * (1 + i % 7));
    routing = {{DType::kI32, {30, 2}, ids.data()}, {DType::kF32, {30, 2}, weights.data()}};
    groups = {ints(offsets), ints(pairs), {}};
  }
  std::vector<int32_t> ids, offsets = std::vector<int32_t>(6), pairs = std::vector<int32_t>(60);
  std::vector<float> weights;
  Routing routing;
  ExpertGroups groups;
};

TEST_P(PackedWeights, GroupedLinear) {
  const int64_t cols = 2 * format().block_cols;
  Visits v;
  b().group_by_expert(v.routing, 5, v.groups);
  const PackedWeight w(b(), format(), {.groups = 5, .rows = 48, .cols = cols}, 6);
  TestMatrix x(DType::kF32, 30, cols), y(DType::kF32, 60, 48), expected(DType::kF32, 60, 48);
  x.randomize(7);
  b().grouped_linear({&w.packed, nullptr, &v.groups, 2, true}, x.tensor(), y.tensor());
  b().grouped_linear({&w.plain, nullptr, &v.groups, 2, true}, x.tensor(), expected.tensor());
  expect_equal(y, expected);
}

TEST_P(PackedWeights, ExpertMlp) {
  const int64_t hidden = 2 * format().block_cols, intermediate = format().block_cols;
  Visits v;
  b().group_by_expert(v.routing, 5, v.groups);
  const PackedWeight up(b(), format(), {.groups = 5, .rows = 2 * intermediate, .cols = hidden, .glu = true}, 8);
  const PackedWeight down(b(), format(), {.groups = 5, .rows = hidden, .cols = intermediate}, 9);
  for (const DType act : {DType::kF32, DType::kBf16}) {
    TestMatrix x(act, 30, hidden), out(DType::kF32, 30, hidden), expected(DType::kF32, 30, hidden);
    x.randomize(10);
    b().expert_mlp({.gate_up = &up.packed, .down = &down.packed}, x.tensor(), v.routing, v.groups, out.tensor());
    b().expert_mlp({.gate_up = &up.plain, .down = &down.plain}, x.tensor(), v.routing, v.groups, expected.tensor());
    if (rounds(act)) {
      EXPECT_LT(relative_error(out, expected), kInt8Error);
    } else {
      expect_equal(out, expected);
    }
    float sum = 0;
    for (const float value : out.values) sum += std::abs(value);
    EXPECT_GT(sum, 1);
  }
}

}  // namespace
}  // namespace polymath::backend
