// ggml's blocks of 32 values of 4 or 5 bits. Nibble j holds value j, and value j + 16 above it.
//
//   Q4_0: f16 d, 16 bytes                value = d * (q - 8)
//   Q4_1: f16 d, f16 m, 16 bytes         value = d * q + m
//   Q5_0: f16 d, u32 fifth bits, bytes   value = d * (q - 16)
//   Q5_1: f16 d, f16 m, fifth bits, ...  value = d * q + m
//   IQ4_NL: f16 d, 16 bytes              value = d * table[q]
//   MXFP4: e8m0 exponent, 16 bytes       value = 2^(e - 128) * table[q]; the table holds twice the FP4 values
//
// Source of MXFP4: the OCP Microscaling Formats specification, version 1.0.

#include <algorithm>
#include <cmath>
#include <iterator>

#include "quant/formats/blocks.h"
#include "quant/formats/fit.h"
#include "quant/formats/tables.h"

namespace polymath::quant {
namespace {

constexpr int kValues = 32, kHalf = 16;

int low(std::byte b) { return static_cast<int>(b) & 15; }
int high(std::byte b) { return static_cast<int>(b) >> 4; }

void decode_q4_0(const std::byte* block, float* y) {
  const float d = half_at(block, 0);
  for (int j = 0; j < kHalf; ++j) {
    y[j] = d * static_cast<float>(low(block[2 + j]) - 8);
    y[j + kHalf] = d * static_cast<float>(high(block[2 + j]) - 8);
  }
}

void decode_q4_1(const std::byte* block, float* y) {
  const float d = half_at(block, 0), m = half_at(block, 2);
  for (int j = 0; j < kHalf; ++j) {
    y[j] = d * static_cast<float>(low(block[4 + j])) + m;
    y[j + kHalf] = d * static_cast<float>(high(block[4 + j])) + m;
  }
}

// The fifth bit of value j, in place.
int fifth(uint32_t bits, int j) { return static_cast<int>(bits >> j & 1) << 4; }

void decode_q5_0(const std::byte* block, float* y) {
  const float d = half_at(block, 0);
  const uint32_t bits = long_at(block, 2);
  for (int j = 0; j < kHalf; ++j) {
    y[j] = d * static_cast<float>((low(block[6 + j]) | fifth(bits, j)) - 16);
    y[j + kHalf] = d * static_cast<float>((high(block[6 + j]) | fifth(bits, j + kHalf)) - 16);
  }
}

void decode_q5_1(const std::byte* block, float* y) {
  const float d = half_at(block, 0), m = half_at(block, 2);
  const uint32_t bits = long_at(block, 4);
  for (int j = 0; j < kHalf; ++j) {
    y[j] = d * static_cast<float>(low(block[8 + j]) | fifth(bits, j)) + m;
    y[j + kHalf] = d * static_cast<float>(high(block[8 + j]) | fifth(bits, j + kHalf)) + m;
  }
}

void decode_iq4_nl(const std::byte* block, float* y) {
  const float d = half_at(block, 0);
  for (int j = 0; j < kHalf; ++j) {
    y[j] = d * static_cast<float>(kIq4Values[low(block[2 + j])]);
    y[j + kHalf] = d * static_cast<float>(kIq4Values[high(block[2 + j])]);
  }
}

void decode_mxfp4(const std::byte* block, float* y) {
  const float d = std::ldexp(1.0f, byte_at(block, 0) - 128);
  for (int j = 0; j < kHalf; ++j) {
    y[j] = d * static_cast<float>(kFp4Doubled[low(block[1 + j])]);
    y[j + kHalf] = d * static_cast<float>(kFp4Doubled[high(block[1 + j])]);
  }
}

// Q4_0 and Q5_0: the middle of the codes is 0.
template <bool kFive>
void pack_symmetric(const float* src, const float* importance, std::byte* dst, int64_t n) {
  constexpr int kLevels = kFive ? 16 : 8, kNibbles = kFive ? 6 : 2;
  for (int64_t i = 0; i < n; i += kValues, src += kValues, dst += kNibbles + kHalf) {
    const uint16_t d = tensor::f32_to_f16(fit_scale({src, kValues}, kLevels, importance_of(importance, i, kValues)));
    const float scale = tensor::f16_to_f32(d);
    uint32_t fifths = 0;
    for (int j = 0; j < kHalf; ++j) {
      const int a = quantized(src[j], scale, -kLevels, kLevels - 1) + kLevels;
      const int b = quantized(src[j + kHalf], scale, -kLevels, kLevels - 1) + kLevels;
      dst[kNibbles + j] = static_cast<std::byte>((a & 15) | (b & 15) << 4);
      fifths |= static_cast<uint32_t>(a >> 4) << j | static_cast<uint32_t>(b >> 4) << (j + kHalf);
    }
    std::memcpy(dst, &d, sizeof(d));
    if constexpr (kFive) std::memcpy(dst + 2, &fifths, sizeof(fifths));
  }
}

int nearest_fp4(float doubled) {
  int best = 0;
  for (int q = 1; q < static_cast<int>(std::size(kFp4Doubled)); ++q) {
    const auto error = [&](int i) { return std::abs(doubled - static_cast<float>(kFp4Doubled[i])); };
    if (error(q) < error(best)) best = q;
  }
  return best;
}

// Of the exponent under which the largest value fits, and the next smaller one, which cuts it off.
void quantize_mxfp4(const float* src, std::byte* dst, int64_t n) {
  constexpr int kBias = 128, kLargestExponent = 254;
  for (int64_t i = 0; i < n; i += kValues, src += kValues, dst += 1 + kHalf) {
    float largest = 0;
    for (int j = 0; j < kValues; ++j) largest = std::max(largest, std::abs(src[j]));
    const int fitting = largest > 0 ? std::clamp(std::ilogb(largest) - 1 + kBias - 1, 1, kLargestExponent) : 0;
    double best = -1;
    for (int e = fitting; e >= std::max(0, fitting - 1); --e) {
      uint8_t codes[kValues];
      double error = 0;
      for (int j = 0; j < kValues; ++j) {
        codes[j] = static_cast<uint8_t>(nearest_fp4(std::ldexp(src[j], kBias - e)));
        const double miss = std::ldexp(static_cast<float>(kFp4Doubled[codes[j]]), e - kBias) - src[j];
        error += miss * miss;
      }
      if (best >= 0 && error >= best) continue;
      best = error;
      dst[0] = static_cast<std::byte>(e);
      for (int j = 0; j < kHalf; ++j) dst[1 + j] = static_cast<std::byte>(codes[j] | codes[j + kHalf] << 4);
    }
  }
}

}  // namespace

void pack_q4_0(const float* src, const float* importance, std::byte* dst, int64_t n) {
  pack_symmetric<false>(src, importance, dst, n);
}
void pack_q5_0(const float* src, const float* importance, std::byte* dst, int64_t n) {
  pack_symmetric<true>(src, importance, dst, n);
}

extern const QuantFormat kQ4_0 = packed_blocks<kValues, 18, decode_q4_0>("q4_0", unweighted<pack_q4_0>);
extern const QuantFormat kQ4_1 = packed_blocks<kValues, 20, decode_q4_1>("q4_1");
extern const QuantFormat kQ5_0 = packed_blocks<kValues, 22, decode_q5_0>("q5_0", unweighted<pack_q5_0>);
extern const QuantFormat kQ5_1 = packed_blocks<kValues, 24, decode_q5_1>("q5_1");
extern const QuantFormat kIq4Nl = packed_blocks<kValues, 18, decode_iq4_nl>("iq4_nl");
extern const QuantFormat kMxfp4 = packed_blocks<kValues, 17, decode_mxfp4>("mxfp4", quantize_mxfp4);

}  // namespace polymath::quant
