#include "backend/reference/reference_backend.h"

#include <gtest/gtest.h>

#include "backend/test_values.h"

namespace polymath::backend {
namespace {

// One byte for each value. A tensor of its own holds a scale for each block of 2 x 4 values.
void scaled_bytes(const quant::PackedRow& row, int64_t col, float* dst, int64_t n) {
  for (int64_t i = 0; i < n; ++i) {
    float scale;
    std::memcpy(&scale, row.scales + (col + i) / 4 * row.param_step * 4, sizeof(scale));
    dst[i] = scale * static_cast<float>(static_cast<int>(row.data[col + i]));
  }
}

quant::QuantFormat scaled_format(bool transposed) {
  return {.name = "test_scaled_bytes",
          .dtype = DType::kU8,
          .block_rows = 2,
          .block_cols = 4,
          .block_bytes = 4,
          .scales = {DType::kF32, transposed},
          .zeros = {},
          .dequantize = scaled_bytes,
          .quantize = nullptr};
}

// Two groups of 6 x 8 values. Each is filled in two pieces: rows [0, 2) and [2, 6).
TEST(Reference, KeepsScalesBesidePackedWeights) {
  constexpr int64_t kGroups = 2, kRows = 6, kCols = 8, kBlocksDown = 3, kBlocksAcross = 2;
  auto backend = make_reference_backend({}).value();
  for (const bool transposed : {false, true}) {
    const quant::QuantFormat format = scaled_format(transposed);
    ASSERT_EQ(&backend->kept_format(format, quant::WeightUse::kExperts, DType::kF32), &format);
    const WeightShape shape{.groups = kGroups, .rows = kRows, .cols = kCols};
    EXPECT_EQ(backend->weight_bytes(shape, format), kGroups * (kRows * kCols + kBlocksDown * kBlocksAcross * 4));
    std::vector<std::byte> bytes(kGroups * kRows * kCols);
    std::vector<float> scales(kGroups * kBlocksDown * kBlocksAcross);
    for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::byte>(i);
    for (size_t i = 0; i < scales.size(); ++i) scales[i] = static_cast<float>(i + 1);
    Weight w = backend->make_weight(shape, format).value();
    const int64_t stride = transposed ? kBlocksDown : kBlocksAcross, down_step = transposed ? 1 : kBlocksAcross;
    for (int64_t g = 0; g < kGroups; ++g) {
      for (const auto& [begin, rows] : {std::pair{0, 2}, std::pair{2, 4}}) {
        quant::MatrixView view{&format, bytes.data() + (g * kRows + begin) * kCols, rows, kCols, kCols, 1};
        const float* of_group = scales.data() + g * kBlocksDown * kBlocksAcross;
        view.scales = reinterpret_cast<const std::byte*>(of_group + begin / 2 * down_step);
        view.param_stride = stride;
        backend->fill_weight(w, g, begin, view);
      }
    }
    TestMatrix x(DType::kF32, 1, kGroups * kCols), y(DType::kF32, 1, kGroups * kRows);
    x.randomize(1);
    backend->batched_linear(x.tensor(), kCols, w, kRows, y.tensor());
    y.pull();
    const auto expected = [&](int64_t g, int64_t r) {
      double sum = 0;
      for (int64_t c = 0; c < kCols; ++c) {
        const int64_t param = transposed ? c / 4 * kBlocksDown + r / 2 : r / 2 * kBlocksAcross + c / 4;
        const double scale = scales[static_cast<size_t>(g * kBlocksDown * kBlocksAcross + param)];
        const auto byte = static_cast<int>(bytes[static_cast<size_t>((g * kRows + r) * kCols + c)]);
        sum += x.at(0, g * kCols + c) * scale * byte;
      }
      return sum;
    };
    for (int64_t g = 0; g < kGroups; ++g) {
      for (int64_t r = 0; r < kRows; ++r) {
        EXPECT_NEAR(y.at(0, g * kRows + r), expected(g, r), 0.01) << transposed << ": " << g << ", " << r;
      }
    }
  }
}

TEST(Reference, RoundsInputsToTheTypeOfBfloat16Weights) {
  auto backend = make_reference_backend({}).value();
  const TestWeight w(*backend, {.rows = 7, .cols = 33}, DType::kBf16, 1);
  TestMatrix x(DType::kF32, 3, 33), y(DType::kF32, 3, 7);
  x.randomize(2);
  backend->linear(x.tensor(), w.weight, {}, y.tensor());
  y.pull();
  for (int64_t i = 0; i < 3; ++i) {
    for (int64_t r = 0; r < 7; ++r) EXPECT_NEAR(y.at(i, r), exact_dot({x, i}, w, 0, r), 1e-5);
  }
}

}  // namespace
}  // namespace polymath::backend
