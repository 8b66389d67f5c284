#include "quant/weighted.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <vector>

namespace polymath::quant {
namespace {

constexpr int kN = 256;

double weighted_error(const QuantFormat& format, const std::vector<std::byte>& packed, const std::vector<float>& values,
                      const std::vector<float>& importance) {
  std::vector<float> out(values.size());
  format.dequantize({packed.data()}, 0, out.data(), static_cast<int64_t>(out.size()));
  double error = 0;
  for (size_t i = 0; i < out.size(); ++i) error += importance[i] * std::pow(static_cast<double>(out[i]) - values[i], 2);
  return error;
}

// Some inputs are much larger than others, as those of trained models are.
TEST(Weighted, ErrorsThatCountAreSmaller) {
  std::mt19937 random(1);
  std::normal_distribution<float> normal;
  for (const char* name : {"q6_k", "q5_k", "q5_0", "q4_k", "q4_0"}) {
    const QuantFormat& format = *find_format(name);
    const WeightedPacker pack = find_weighted_packer(format);
    ASSERT_NE(pack, nullptr) << name;
    double plain_total = 0, weighted_total = 0;
    for (int round = 0; round < 50; ++round) {
      std::vector<float> values(kN), importance(kN);
      for (float& v : values) v = normal(random);
      for (float& v : importance) v = std::exp(1.5f * normal(random));
      std::vector<std::byte> plain(static_cast<size_t>(format.bytes_of(kN))), weighted(plain.size());
      format.quantize(values.data(), plain.data(), kN);
      pack(values.data(), importance.data(), weighted.data(), kN);
      plain_total += weighted_error(format, plain, values, importance);
      weighted_total += weighted_error(format, weighted, values, importance);
    }
    EXPECT_LT(weighted_total, plain_total) << name;
  }
}

TEST(Weighted, FormatsWithoutProfitHaveNone) {
  for (const char* name : {"q8_0", "mxfp4", "bfloat16"})
    EXPECT_EQ(find_weighted_packer(*find_format(name)), nullptr) << name;
}

}  // namespace
}  // namespace polymath::quant
