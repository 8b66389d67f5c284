// Groups of Hugging Face's schemes: integers or FP8 under one f32 scale. A row's larger groups are several blocks.
// weights/schemes/ packs checkpoints so.
//
//   int4_g32, int4_g128: f32 d, u8 zero, nibbles    value = d * q - d * zero
//   int8_g32, int8_g128: f32 d, signed bytes        value = d * q
//   fp8_g32, fp8_g128:   f32 d, E4M3 bytes          value = d * q
//   nvfp4 (64 values):   f32 d, 4 E4M3 scales s, nibbles of E2M1    value = d * s * q, s of 16 values
//   nf4 (64 values):     f32 d, nibbles             value = d * table[q]
//
// Nibbles lie in parts of 32 values, as in Q4_0. Byte j of a part has value j, and value j + 16 above it.
// A scale is f32, so that those of float16 and bfloat16 checkpoints are exact.
// Source of nf4's table: Dettmers et al., arXiv:2305.14314, appendix E.

#include <algorithm>
#include <cmath>

#include "quant/formats/blocks.h"
#include "quant/formats/tables.h"
#include "quant/fp8.h"

namespace polymath::quant {
namespace {

constexpr int kPart = 32, kHalf = kPart / 2;
constexpr int kScaleBytes = 4;
constexpr int kNvValues = 64, kNvGroup = 16;

float float_at(const std::byte* block, int i) { return std::bit_cast<float>(long_at(block, i)); }
void put_float(std::byte* block, float v) { std::memcpy(block, &v, sizeof(v)); }

int nibble_at(const std::byte* nibbles, int i) {
  const int byte = static_cast<int>(nibbles[i / kPart * kHalf + i % kHalf]);
  return i % kPart < kHalf ? byte & 15 : byte >> 4;
}

template <int kValues>
void decode_int4(const std::byte* block, float* y) {
  const float d = float_at(block, 0), minimum = d * static_cast<float>(byte_at(block, kScaleBytes));
  for (int i = 0; i < kValues; ++i) {
    y[i] = d * static_cast<float>(nibble_at(block + kScaleBytes + 1, i)) - minimum;
  }
}

template <int kValues>
void decode_int8(const std::byte* block, float* y) {
  const float d = float_at(block, 0);
  for (int i = 0; i < kValues; ++i) y[i] = d * static_cast<float>(static_cast<int8_t>(block[kScaleBytes + i]));
}

template <int kValues>
void decode_fp8(const std::byte* block, float* y) {
  const float d = float_at(block, 0);
  for (int i = 0; i < kValues; ++i) y[i] = d * e4m3_to_f32(byte_at(block, kScaleBytes + i));
}

void decode_nvfp4(const std::byte* block, float* y) {
  const float d = float_at(block, 0);
  const std::byte* nibbles = block + kScaleBytes + kNvValues / kNvGroup;
  for (int i = 0; i < kNvValues; ++i) {
    const float scale = d * e4m3_to_f32(byte_at(block, kScaleBytes + i / kNvGroup)) * 0.5f;
    y[i] = scale * static_cast<float>(kFp4Doubled[nibble_at(nibbles, i)]);
  }
}

void decode_nf4(const std::byte* block, float* y) {
  const float d = float_at(block, 0);
  for (int i = 0; i < kNvValues; ++i) y[i] = d * kNf4Values[nibble_at(block + kScaleBytes, i)];
}

constexpr float kTiny = 1e-35f;  // the largest scale that counts as 0: the inverse of a smaller one overflows

// The scale that maps the largest magnitude to `most`. It has 8 bits, so that codes times it are exact.
float scale_of(const float* values, int n, float most) {
  float largest = 0;
  for (int i = 0; i < n; ++i) largest = std::max(largest, std::abs(values[i]));
  return tensor::bf16_to_f32(tensor::f32_to_bf16(largest / most));
}

template <int kValues>
void quantize_int8(const float* src, std::byte* dst, int64_t n) {
  for (int64_t at = 0; at < n; at += kValues, dst += kScaleBytes + kValues) {
    const float scale = scale_of(src + at, kValues, 127), inverse = scale > kTiny ? 1 / scale : 0;
    put_float(dst, scale);
    for (int i = 0; i < kValues; ++i) {
      const float q = std::clamp(std::round(src[at + i] * inverse), -127.0f, 127.0f);
      dst[kScaleBytes + i] = static_cast<std::byte>(static_cast<int>(q));
    }
  }
}

template <int kValues>
void quantize_fp8(const float* src, std::byte* dst, int64_t n) {
  for (int64_t at = 0; at < n; at += kValues, dst += kScaleBytes + kValues) {
    const float scale = scale_of(src + at, kValues, kE4m3Largest), inverse = scale > kTiny ? 1 / scale : 0;
    put_float(dst, scale);
    for (int i = 0; i < kValues; ++i) dst[kScaleBytes + i] = static_cast<std::byte>(f32_to_e4m3(src[at + i] * inverse));
  }
}

constexpr int kInt4Bytes(int values) { return kScaleBytes + 1 + values / 2; }

}  // namespace

extern const QuantFormat kInt4G32 = packed_blocks<32, kInt4Bytes(32), decode_int4<32>>("int4_g32");
extern const QuantFormat kInt4G128 = packed_blocks<128, kInt4Bytes(128), decode_int4<128>>("int4_g128");
extern const QuantFormat kInt8G32 = packed_blocks<32, kScaleBytes + 32, decode_int8<32>>("int8_g32", quantize_int8<32>);
extern const QuantFormat kInt8G128 =
    packed_blocks<128, kScaleBytes + 128, decode_int8<128>>("int8_g128", quantize_int8<128>);
extern const QuantFormat kFp8G32 = packed_blocks<32, kScaleBytes + 32, decode_fp8<32>>("fp8_g32", quantize_fp8<32>);
extern const QuantFormat kFp8G128 =
    packed_blocks<128, kScaleBytes + 128, decode_fp8<128>>("fp8_g128", quantize_fp8<128>);
extern const QuantFormat kNvfp4 = packed_blocks<kNvValues, kScaleBytes + 4 + kNvValues / 2, decode_nvfp4>("nvfp4");
extern const QuantFormat kNf4 = packed_blocks<kNvValues, kScaleBytes + kNvValues / 2, decode_nf4>("nf4");

}  // namespace polymath::quant
