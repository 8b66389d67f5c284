// ggml's K-quants: 256 values under one f16 scale, in groups with small integer scales of their own.
//
//   Q2_K: u8[16] scale and minimum (4 bits each), 64 bytes of 2 bits, f16 d, f16 dmin   d * sc * q - dmin * m
//   Q3_K: third bits (32 bytes), 64 bytes of 2 bits, 12 bytes of 6-bit scales, f16 d    d * (sc - 32) * (q - 4)
//   Q4_K: f16 d, f16 dmin, 12 bytes of 6-bit scales and minimums, 128 bytes of 4 bits   d * sc * q - dmin * m
//   Q5_K: the same with 32 bytes of fifth bits before the nibbles
//   Q6_K: 128 bytes of 4 bits, 64 bytes of upper 2 bits, i8[16] scales, f16 d           d * sc * (q - 32)

#include <algorithm>
#include <cmath>

#include "quant/formats/blocks.h"
#include "quant/formats/fit.h"

namespace polymath::quant {
namespace {

// Values lie in halves of 128. Byte l of a half holds values l, l + 32, l + 64, l + 96 in 2 bits each.
int two_bits(const std::byte* bytes, int e) {
  const int half = e / 128, part = e % 128 / 32;
  return byte_at(bytes, half * 32 + e % 32) >> (2 * part) & 3;
}

void decode_q2_k(const std::byte* block, float* y) {
  const float d = half_at(block, 80), dmin = half_at(block, 82);
  for (int e = 0; e < kSuperBlock; ++e) {
    const int sc = byte_at(block, e / 16);
    const float scale = d * static_cast<float>(sc & 15), minimum = dmin * static_cast<float>(sc >> 4);
    y[e] = scale * static_cast<float>(two_bits(block + 16, e)) - minimum;
  }
}

int q3_scale(const std::byte* scales, int i) {
  const int low = byte_at(scales, i % 8) >> (i / 8 * 4) & 15;
  const int high = byte_at(scales, 8 + i % 4) >> (2 * (i / 4)) & 3;
  return (low | high << 4) - 32;
}

void decode_q3_k(const std::byte* block, float* y) {
  const float d = half_at(block, 108);
  for (int i = 0; i < kSuperBlock / 16; ++i) {
    const float scale = d * static_cast<float>(q3_scale(block + 96, i));
    for (int e = i * 16; e < i * 16 + 16; ++e) {
      const int third = byte_at(block, e % 32) >> (e / 32) & 1;
      y[e] = scale * static_cast<float>(two_bits(block + 32, e) - (third != 0 ? 0 : 4));
    }
  }
}

SixBitBlock q3_scales(const std::byte* block) {
  SixBitBlock out{half_at(block, 108), {}};
  for (int i = 0; i < 16; ++i) out.scales[i] = static_cast<int8_t>(q3_scale(block + 96, i));
  return out;
}

// Scale and minimum j of eight, 6 bits each in 12 bytes.
void q4_scales(const std::byte* scales, int j, int& scale, int& minimum) {
  if (j < 4) {
    scale = byte_at(scales, j) & 63;
    minimum = byte_at(scales, j + 4) & 63;
  } else {
    scale = (byte_at(scales, j + 4) & 15) | byte_at(scales, j - 4) >> 6 << 4;
    minimum = byte_at(scales, j + 4) >> 4 | byte_at(scales, j) >> 6 << 4;
  }
}

// Q4_K without, Q5_K with fifth bits.
void decode_q4_q5(const std::byte* block, const std::byte* fifth, const std::byte* nibbles, float* y) {
  const float d = half_at(block, 0), dmin = half_at(block, 2);
  for (int j = 0; j < 8; ++j) {
    int sc = 0, m = 0;
    q4_scales(block + 4, j, sc, m);
    const float scale = d * static_cast<float>(sc), minimum = dmin * static_cast<float>(m);
    for (int l = 0; l < 32; ++l) {
      int q = byte_at(nibbles, j / 2 * 32 + l) >> (j % 2 * 4) & 15;
      if (fifth != nullptr) q |= (byte_at(fifth, l) >> j & 1) << 4;
      y[j * 32 + l] = scale * static_cast<float>(q) - minimum;
    }
  }
}

void decode_q4_k(const std::byte* block, float* y) { decode_q4_q5(block, nullptr, block + 16, y); }
void decode_q5_k(const std::byte* block, float* y) { decode_q4_q5(block, block + 16, block + 48, y); }

void decode_q6_k(const std::byte* block, float* y) {
  const float d = half_at(block, 208);
  for (int e = 0; e < kSuperBlock; ++e) {
    const int half = e / 128, part = e % 128 / 32, l = e % 32;
    const int low = byte_at(block, half * 64 + part % 2 * 32 + l) >> (part / 2 * 4) & 15;
    const int high = byte_at(block, 128 + half * 32 + l) >> (2 * part) & 3;
    const float scale = d * static_cast<float>(static_cast<int8_t>(block[192 + e / 16]));
    y[e] = scale * static_cast<float>((low | high << 4) - 32);
  }
}

void write_half(float value, std::byte* dst) {
  const uint16_t bits = tensor::f32_to_f16(value);
  std::memcpy(dst, &bits, sizeof(bits));
}

float largest_of(const float (&values)[8]) { return *std::max_element(std::begin(values), std::end(values)); }

// Q4_K and Q5_K: eight fits of 32 values, whose scales and minimums become 6 bits each.
struct SixBitFits {
  SixBitFits(const float* src, const float* importance, int levels) {
    float scales[8], minimums[8];
    for (int j = 0; j < 8; ++j) {
      const AffineFit fit = fit_affine({src + j * 32, 32}, levels, importance_of(importance, j * 32, 32));
      scales[j] = fit.scale, minimums[j] = fit.minimum;
    }
    d = rounded(largest_of(scales) / 63), dmin = rounded(largest_of(minimums) / 63);
    for (int j = 0; j < 8; ++j) sc[j] = quantized(scales[j], d, 0, 63), m[j] = quantized(minimums[j], dmin, 0, 63);
  }
  static float rounded(float value) { return tensor::f16_to_f32(tensor::f32_to_f16(value)); }

  int code(float value, int j, int levels) const {
    return quantized(value + dmin * static_cast<float>(m[j]), d * static_cast<float>(sc[j]), 0, levels);
  }
  void write(std::byte* dst) const {
    write_half(d, dst);
    write_half(dmin, dst + 2);
    for (int j = 0; j < 4; ++j) {
      dst[4 + j] = static_cast<std::byte>(sc[j] | sc[j + 4] >> 4 << 6);
      dst[8 + j] = static_cast<std::byte>(m[j] | m[j + 4] >> 4 << 6);
      dst[12 + j] = static_cast<std::byte>((sc[j + 4] & 15) | (m[j + 4] & 15) << 4);
    }
  }

  float d = 0, dmin = 0;
  int sc[8] = {}, m[8] = {};
};

const float* at_or_null(const float* importance, int64_t i) { return importance == nullptr ? nullptr : importance + i; }

template <bool kFive>
void pack_q4_q5(const float* src, const float* importance, std::byte* dst, int64_t n) {
  constexpr int kLevels = kFive ? 31 : 15, kNibbles = kFive ? 48 : 16, kBytes = kNibbles + 128;
  for (int64_t i = 0; i < n; i += kSuperBlock, src += kSuperBlock, dst += kBytes) {
    std::memset(dst, 0, kBytes);
    const SixBitFits fits(src, at_or_null(importance, i), kLevels);
    fits.write(dst);
    for (int e = 0; e < kSuperBlock; ++e) {
      const int j = e / 32, l = e % 32, q = fits.code(src[e], j, kLevels);
      dst[kNibbles + j / 2 * 32 + l] |= static_cast<std::byte>((q & 15) << (j % 2 * 4));
      if constexpr (kFive) dst[16 + l] |= static_cast<std::byte>(q >> 4 << j);
    }
  }
}

}  // namespace

void write_q6_k(const SixBitBlock& block, const float* values, std::byte* dst) {
  const uint16_t bits = tensor::f32_to_f16(block.d);
  std::memset(dst, 0, static_cast<size_t>(kQ6K.block_bytes));
  std::memcpy(dst + 208, &bits, sizeof(bits));
  std::memcpy(dst + 192, block.scales, sizeof(block.scales));
  const float d = tensor::f16_to_f32(bits);
  for (int e = 0; e < kSuperBlock; ++e) {
    const float scale = d * static_cast<float>(block.scales[e / 16]);
    const float exact = scale == 0 ? 0 : std::round(values[e] / scale);
    const int q = static_cast<int>(std::clamp(exact, -32.0f, 31.0f)) + 32;
    const int half = e / 128, part = e % 128 / 32, l = e % 32;
    dst[half * 64 + part % 2 * 32 + l] |= static_cast<std::byte>((q & 15) << (part / 2 * 4));
    dst[128 + half * 32 + l] |= static_cast<std::byte>((q >> 4) << (2 * part));
  }
}

void pack_q4_k(const float* src, const float* importance, std::byte* dst, int64_t n) {
  pack_q4_q5<false>(src, importance, dst, n);
}
void pack_q5_k(const float* src, const float* importance, std::byte* dst, int64_t n) {
  pack_q4_q5<true>(src, importance, dst, n);
}

// Scales of 16 groups of 16 values, as integers under one f16.
void pack_q6_k(const float* src, const float* importance, std::byte* dst, int64_t n) {
  for (int64_t i = 0; i < n; i += kSuperBlock, src += kSuperBlock, dst += kQ6K.block_bytes) {
    float scales[16], extreme = 0;
    for (int j = 0; j < 16; ++j) {
      scales[j] = fit_scale({src + j * 16, 16}, 32, importance_of(importance, i + j * 16, 16));
      if (std::abs(scales[j]) > std::abs(extreme)) extreme = scales[j];
    }
    SixBitBlock block{SixBitFits::rounded(extreme / -128), {}};
    for (int j = 0; j < 16; ++j) block.scales[j] = static_cast<int8_t>(quantized(scales[j], block.d, -128, 127));
    write_q6_k(block, src, dst);
  }
}

extern const QuantFormat kQ2K = packed_blocks<kSuperBlock, 84, decode_q2_k>("q2_k");
extern const QuantFormat kQ3K = super_blocks_of_six_bits<110, decode_q3_k, q3_scales>("q3_k");
extern const QuantFormat kQ4K = packed_blocks<kSuperBlock, 144, decode_q4_k>("q4_k", unweighted<pack_q4_k>);
extern const QuantFormat kQ5K = packed_blocks<kSuperBlock, 176, decode_q5_k>("q5_k", unweighted<pack_q5_k>);
extern const QuantFormat kQ6K = packed_blocks<kSuperBlock, 210, decode_q6_k>("q6_k", unweighted<pack_q6_k>);

}  // namespace polymath::quant
