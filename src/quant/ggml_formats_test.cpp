// ggml's formats against blocks and values that its Python package wrote (tools/make_quant_cases.py), bit for bit.

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <fstream>
#include <iterator>
#include <vector>

#include "quant/format.h"

namespace polymath::quant {
namespace {

constexpr const char* kNames[] = {
    "q4_0", "q4_1",  "q5_0",  "q5_1",    "q8_0",   "iq4_nl", "mxfp4",   "q2_k",  "q3_k",   "q4_k",  "q5_k",
    "q6_k", "iq1_s", "iq1_m", "iq2_xxs", "iq2_xs", "iq2_s",  "iq3_xxs", "iq3_s", "iq4_xs", "tq1_0", "tq2_0",
};

class GgmlFormats : public testing::TestWithParam<const char*> {};

INSTANTIATE_TEST_SUITE_P(All, GgmlFormats, testing::ValuesIn(kNames),
                         [](const auto& info) { return std::string(info.param); });

TEST_P(GgmlFormats, UnpackAsTheirPackageDoes) {
  const QuantFormat* format = find_format(GetParam());
  ASSERT_NE(format, nullptr);
  const std::string path =
      std::string(POLYMATH_SOURCE_DIR) + "/tests/conformance/data/quant/" + std::string(format->name) + ".bin";
  std::ifstream file(path, std::ios::binary);
  const std::vector<char> bytes{std::istreambuf_iterator<char>(file), {}};
  uint32_t n = 0;
  ASSERT_GT(bytes.size(), sizeof(n)) << path;
  std::memcpy(&n, bytes.data(), sizeof(n));
  const auto packed = static_cast<size_t>(format->bytes_of(n));
  ASSERT_EQ(bytes.size(), sizeof(n) + packed + n * sizeof(float));
  std::vector<float> expected(n), values(n), tail(n);
  std::memcpy(expected.data(), bytes.data() + sizeof(n) + packed, n * sizeof(float));
  const PackedRow row{reinterpret_cast<const std::byte*>(bytes.data()) + sizeof(n)};
  format->dequantize(row, 0, values.data(), n);
  for (uint32_t i = 0; i < n; ++i) {
    ASSERT_EQ(std::bit_cast<uint32_t>(values[i]), std::bit_cast<uint32_t>(expected[i]))
        << i << ": " << values[i] << " is not " << expected[i];
  }
  const int64_t col = 3 * int64_t{format->block_cols};
  format->dequantize(row, col, tail.data(), n - col);
  EXPECT_EQ(std::memcmp(tail.data(), values.data() + col, static_cast<size_t>(n - col) * sizeof(float)), 0);
}

// A wider format holds the same values, but for scales too small for f16.
TEST_P(GgmlFormats, AreHeldByTheirWiderOne) {
  const QuantFormat* format = find_format(GetParam());
  if (format->wider == nullptr) return;
  EXPECT_GT(format->wider->block_bytes * format->block_cols, format->block_bytes * format->wider->block_cols);
  const std::string path =
      std::string(POLYMATH_SOURCE_DIR) + "/tests/conformance/data/quant/" + std::string(format->name) + ".bin";
  std::ifstream file(path, std::ios::binary);
  const std::vector<char> bytes{std::istreambuf_iterator<char>(file), {}};
  const auto* packed = reinterpret_cast<const std::byte*>(bytes.data()) + sizeof(uint32_t);
  std::vector<float> values(static_cast<size_t>(format->block_cols)), wide(values.size());
  std::vector<std::byte> wider(static_cast<size_t>(format->wider->bytes_of(format->block_cols)));
  int compared = 0;
  for (int i = 0; i < 8; ++i, packed += format->block_bytes) {
    format->dequantize({packed}, 0, values.data(), format->block_cols);
    const float largest = std::abs(
        *std::max_element(values.begin(), values.end(), [](float a, float b) { return std::abs(a) < std::abs(b); }));
    if (largest > 0 && largest < 0.1f) continue;
    format->widen(packed, wider.data(), format->block_cols);
    format->wider->dequantize({wider.data()}, 0, wide.data(), format->block_cols);
    EXPECT_EQ(values, wide) << format->name << " " << i;
    ++compared;
  }
  EXPECT_GE(compared, 4);
}

}  // namespace
}  // namespace polymath::quant
