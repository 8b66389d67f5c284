#include "quant/format.h"

#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <map>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "gtest/gtest.h"

namespace polymath::quant {
namespace {

TEST(Formats, AreListedOnceAndFound) {
  std::set<std::string_view> names;
  for (const QuantFormat* format : quant_formats()) {
    EXPECT_TRUE(names.insert(format->name).second) << format->name;
    EXPECT_EQ(find_format(format->name), format);
    EXPECT_GT(format->block_cols, 0);
    EXPECT_GT(format->block_bytes, 0);
    EXPECT_NE(format->dequantize, nullptr);
  }
  EXPECT_EQ(find_format("float8"), nullptr);
  EXPECT_EQ(find_format(""), nullptr);
}

TEST(Formats, PlainOnes) {
  for (const QuantFormat* format : {&kF32, &kF16, &kBf16, &kF64}) {
    EXPECT_TRUE(format->plain() && !format->params());
    EXPECT_EQ(&plain_format(format->dtype), format);
    EXPECT_EQ(format->name, tensor::dtype_name(format->dtype));
    EXPECT_EQ(static_cast<size_t>(format->block_bytes), tensor::dtype_bytes(format->dtype));
    EXPECT_EQ(format->block_cols, 1);
  }
  for (const auto dtype : {tensor::DType::kI32, tensor::DType::kU8, tensor::DType::kCount}) {
    EXPECT_EQ(find_plain_format(dtype), nullptr);
  }
  EXPECT_DEATH(plain_format(tensor::DType::kI32), "plain");
}

// Root mean square of x - y, as a share of that of x.
double relative_error(const std::vector<float>& x, const std::vector<float>& y) {
  double error = 0, squares = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    error += std::pow(static_cast<double>(x[i]) - y[i], 2);
    squares += std::pow(static_cast<double>(x[i]), 2);
  }
  return std::sqrt(error / squares);
}

std::vector<float> repacked(const QuantFormat& format, const std::vector<float>& values) {
  const auto n = static_cast<int64_t>(values.size());
  std::vector<std::byte> packed(static_cast<size_t>(format.bytes_of(n)) + 1);
  std::byte* odd = packed.data() + 1;  // a file aligns nothing
  std::vector<float> back(values.size());
  format.quantize(values.data(), odd, n);
  format.dequantize({odd}, 0, back.data(), n);
  return back;
}

// Normally distributed values, and what the bits of each format allow. Packing again adds next to nothing.
TEST(Formats, PackingLosesLittle) {
  const std::map<std::string_view, double> bounds = {{"q8_0", 0.006},   {"q6_k", 0.019},     {"q5_k", 0.038},
                                                     {"q5_0", 0.043},   {"q4_k", 0.075},     {"q4_0", 0.086},
                                                     {"mxfp4", 0.115},  {"int8_g32", 0.006}, {"int8_g128", 0.008},
                                                     {"fp8_g32", 0.03}, {"fp8_g128", 0.03}};
  std::mt19937 random(1);
  std::normal_distribution<float> any(0, 0.02f);
  std::vector<float> values(size_t{64} * 256);
  for (float& v : values) v = any(random);
  for (const QuantFormat* format : quant_formats()) {
    if (format->plain() || format->quantize == nullptr) continue;
    ASSERT_TRUE(bounds.contains(format->name)) << format->name;
    const std::vector<float> once = repacked(*format, values), twice = repacked(*format, once);
    EXPECT_LT(relative_error(values, once), bounds.at(format->name)) << format->name;
    EXPECT_LT(relative_error(once, twice), bounds.at(format->name) / 10) << format->name;
  }
}

// Zeros, one value alone, one sign alone, and the largest and smallest sizes that an f16 scale can have.
TEST(Formats, PackingTakesAnyBlock) {
  for (const QuantFormat* format : quant_formats()) {
    if (format->plain() || format->quantize == nullptr) continue;
    for (const float size : {0.0f, 1e-6f, 1.0f, 1e4f}) {
      std::vector<float> values(256);
      values[7] = -size;
      EXPECT_LE(relative_error({1.0f}, {1.0f + (repacked(*format, values)[7] + size)}),
                0.2 * size + 1e-6)  // FP4 has 4 and 6, nothing between
          << format->name << " " << size;
      for (size_t i = 0; i < values.size(); ++i) values[i] = size * static_cast<float>(1 + i % 3);
      for (const float v : repacked(*format, values)) ASSERT_TRUE(v >= 0 && v <= 3.6f * size + 1e-6f) << format->name;
    }
  }
}

// What cannot be scaled: zeros, and values too small for a scale.
TEST(Formats, PackZerosAsZeros) {
  for (const QuantFormat* format : quant_formats()) {
    if (format->quantize == nullptr) continue;
    const auto n = static_cast<size_t>(format->block_cols);
    for (const float value : {0.0f, 1e-42f}) {
      const std::vector<float> values(n, value);
      std::vector<float> back(n, 1.0f);
      std::vector<std::byte> packed(static_cast<size_t>(format->block_bytes));
      format->quantize(values.data(), packed.data(), format->block_cols);
      format->dequantize({packed.data()}, 0, back.data(), format->block_cols);
      for (const float b : back) ASSERT_NEAR(b, 0.0f, 1e-30f) << format->name;
    }
  }
}

// Every 16-bit pattern but NaN is itself after unpacking and packing.
TEST(Formats, EverySixteenBitPatternRoundTrips) {
  std::vector<uint16_t> all(0x10000), back(all.size());
  std::vector<float> values(all.size());
  for (size_t i = 0; i < all.size(); ++i) all[i] = static_cast<uint16_t>(i);
  for (const QuantFormat* format : {&kF16, &kBf16}) {
    format->dequantize({reinterpret_cast<const std::byte*>(all.data())}, 0, values.data(), 0x10000);
    format->quantize(values.data(), reinterpret_cast<std::byte*>(back.data()), 0x10000);
    for (size_t i = 0; i < all.size(); ++i) {
      if (std::isnan(values[i])) continue;
      ASSERT_EQ(back[i], all[i]) << format->name;
    }
  }
}

TEST(Formats, Float32IsCopiedBitByBit) {
  const std::vector<uint32_t> in = {0, 0x80000000u, 1, 0x7f800000u, 0xff800000u, 0x7fc00001u, 0x3f800000u};
  std::vector<float> values(in.size());
  std::vector<uint32_t> out(in.size());
  kF32.dequantize({reinterpret_cast<const std::byte*>(in.data())}, 0, values.data(), static_cast<int64_t>(in.size()));
  kF32.quantize(values.data(), reinterpret_cast<std::byte*>(out.data()), static_cast<int64_t>(in.size()));
  EXPECT_EQ(in, out);
}

float matrix_value(int64_t r, int64_t c) { return static_cast<float>(10 * r + c); }

// How a 3 x 4 matrix lies in memory, in elements.
struct Storage {
  const char* what;
  int64_t row_stride, col_stride, offset;
};

std::vector<std::byte> stored_matrix(const QuantFormat& format, const Storage& s) {
  std::vector<std::byte> memory(24 * static_cast<size_t>(format.block_bytes));
  for (int64_t r = 0; r < 3; ++r) {
    for (int64_t c = 0; c < 4; ++c) {
      const float v = matrix_value(r, c);
      const int64_t element = s.offset + r * s.row_stride + c * s.col_stride;
      format.quantize(&v, memory.data() + element * format.block_bytes, 1);
    }
  }
  return memory;
}

void expect_read_through_strides(const QuantFormat& format, const Storage& s) {
  const std::vector<std::byte> memory = stored_matrix(format, s);
  const MatrixView view{&format, memory.data() + s.offset * format.block_bytes, 3, 4, s.row_stride, s.col_stride};
  for (int64_t r = 0; r < 3; ++r) {
    float out[3] = {};
    view.read_row(r, 1, 3, out);
    for (int64_t c = 0; c < 3; ++c) EXPECT_EQ(out[c], matrix_value(r, c + 1)) << format.name << ", " << s.what;
  }
  view.read_row(2, 4, 0, nullptr);
}

// The same matrix stored in four ways.
TEST(MatrixView, SeesThroughStrides) {
  const Storage storages[] = {
      {"rows", 4, 1, 0}, {"transposed", 1, 3, 0}, {"one of two stacked", 4, 1, 12}, {"interleaved", 8, 2, 1}};
  for (const QuantFormat* format : {&kF32, &kF16, &kBf16}) {
    for (const Storage& s : storages) expect_read_through_strides(*format, s);
  }
}

// Two signed 4-bit values a byte, eight values a block.
const QuantFormat kHalfBytes{.name = "test_half_bytes",
                             .dtype = tensor::DType::kU8,
                             .block_cols = 8,
                             .block_bytes = 4,
                             .scales = {},
                             .zeros = {},
                             .dequantize =
                                 [](const PackedRow& row, int64_t col, float* dst, int64_t n) {
                                   for (int64_t i = 0; i < n; ++i) {
                                     const int byte = static_cast<int>(row.data[(col + i) / 2]);
                                     dst[i] = static_cast<float>(((byte >> (i % 2 * 4)) & 15) - 8);
                                   }
                                 },
                             .quantize = nullptr};

// A byte a value. Each block of 2 x 4 values has a scale and a zero point.
void scaled_bytes(const PackedRow& row, int64_t col, float* dst, int64_t n) {
  for (int64_t i = 0; i < n; ++i) {
    const int64_t param = (col + i) / 4 * row.param_step;
    float scale;
    std::memcpy(&scale, row.scales + param * 4, sizeof(scale));
    dst[i] = scale * static_cast<float>(static_cast<int>(row.data[col + i]) - static_cast<int>(row.zeros[param]));
  }
}

TEST(MatrixView, ReadsWholeBlocksOfAPackedFormat) {
  std::vector<std::byte> memory(2 * 16 / 2);
  for (size_t i = 0; i < memory.size(); ++i) memory[i] = static_cast<std::byte>(i * 0x11);
  const MatrixView view{&kHalfBytes, memory.data(), 2, 16, 16, 1};
  float out[8];
  view.read_row(1, 8, 8, out);
  for (int i = 0; i < 8; ++i) EXPECT_EQ(out[i], static_cast<float>(12 + i / 2 - 8));
  EXPECT_DEATH((MatrixView{&kHalfBytes, memory.data(), 16, 2, 1, 16}.read_row(0, 0, 2, out)), "plain");
}

// 4 x 8 bytes under 2 x 2 parameters, stored both ways.
TEST(MatrixView, FindsTheParametersOfABlock) {
  std::vector<std::byte> bytes(32);
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::byte>(i);
  for (const bool transposed : {false, true}) {
    const QuantFormat format{.name = "test_scaled_bytes",
                             .dtype = tensor::DType::kU8,
                             .block_rows = 2,
                             .block_cols = 4,
                             .block_bytes = 4,
                             .scales = {tensor::DType::kF32, transposed},
                             .zeros = {tensor::DType::kU8, transposed},
                             .dequantize = scaled_bytes,
                             .quantize = nullptr};
    EXPECT_TRUE(format.params() && !format.plain());
    const std::vector<float> scales = transposed ? std::vector<float>{1, 3, 2, 4} : std::vector<float>{1, 2, 3, 4};
    const std::vector<std::byte> zeros(4, std::byte{5});
    MatrixView view{&format, bytes.data(), 4, 8, 8, 1};
    view.scales = reinterpret_cast<const std::byte*>(scales.data());
    view.zeros = zeros.data();
    view.param_stride = 2;
    for (int64_t r = 0; r < 4; ++r) {
      float out[8];
      view.read_row(r, 0, 4, out);
      view.read_row(r, 4, 4, out + 4);
      for (int64_t c = 0; c < 8; ++c) {
        const float scale = static_cast<float>(1 + r / 2 * 2 + c / 4);
        EXPECT_EQ(out[c], scale * static_cast<float>(8 * r + c - 5)) << r << ", " << c;
      }
    }
  }
}

// A block written by hand, as ggml lays it out.
TEST(Q8_0, IsAScaleAndThirtyTwoBytes) {
  const QuantFormat* format = find_format("q8_0");
  ASSERT_NE(format, nullptr);
  std::vector<std::byte> blocks(2 * 34, std::byte{0});
  blocks[34] = std::byte{0x00}, blocks[35] = std::byte{0x38};  // 0.5 in f16, little-endian
  blocks[36] = std::byte{0x7f}, blocks[37] = std::byte{0x80}, blocks[67] = std::byte{0xff};
  float out[32];
  format->dequantize({blocks.data()}, 32, out, 32);
  EXPECT_EQ(out[0], 63.5f);
  EXPECT_EQ(out[1], -64.0f);
  EXPECT_EQ(out[2], 0.0f);
  EXPECT_EQ(out[31], -0.5f);
}

TEST(Q8_0, RoundsToTheNearestOf255Steps) {
  const QuantFormat* format = find_format("q8_0");
  std::vector<float> values(64), back(64);
  for (size_t i = 0; i < values.size(); ++i)
    values[i] = std::sin(static_cast<float>(i) * 0.7f) * (i < 32 ? 1.0f : 100.0f);
  std::vector<std::byte> packed(68);
  format->quantize(values.data(), packed.data(), 64);
  format->dequantize({packed.data()}, 0, back.data(), 64);
  for (size_t i = 0; i < values.size(); ++i) {
    const float largest = i < 32 ? 1.0f : 100.0f;
    EXPECT_NEAR(back[i], values[i], largest / 127 * 0.5f + largest * 0.001f) << i;
  }
}

}  // namespace
}  // namespace polymath::quant
