#pragma once

// Rows rounded to int8 in blocks of 32 elements. A block is kInt8Words words:
//
//   8 words of four elements | f32 scale | i32 sums of its first and last 16 elements
//
// The scale maps the largest magnitude to 127. A block with a NaN or an infinity has a NaN for its scale.

#include "backend/cpu/kernels/dot.h"
#include "backend/cpu/kernels/kernels.h"

namespace polymath::backend::cpu {
namespace {

constexpr int kInt8Elements = 32;
constexpr float kTiny = 1e-30f;  // the largest magnitude of a block that counts as zeros

INLINE void pack_int8_block(const void* row, DType from, int64_t at, uint32_t* out) {
  constexpr int kVectors = kInt8Elements / kLanes;
  F32 x[kVectors], most = {}, zeros = {};
#pragma GCC unroll 8
  for (int i = 0; i < kVectors; ++i) {
    x[i] = load_row(row, from, at + i * kLanes);
    most = larger(most, vector_abs(x[i]));
    zeros = zeros + x[i] * 0.0f;
  }
  const float largest = max_lanes(most);
  const bool finite = sum_lanes(zeros) == 0;
  const float scale = finite ? largest / 127 : __builtin_nanf("");
  const float inverse = finite && largest > kTiny ? 127 / largest : 0;
  int32_t sums[2] = {};
  alignas(64) int32_t rounded_elements[kInt8Elements];
  // Adding 1.5 * 2^23 rounds to an integer, kept in the low bits.
  const F32 magic = splat(12582912.0f);
#pragma GCC unroll 8
  for (int i = 0; i < kVectors; ++i) {
    const F32 clean = finite ? rounded(x[i] * inverse) : F32{};
    store_as(rounded_elements + i * kLanes, reinterpret_cast<I32>(bits(clean + magic)) - 0x4b400000);
  }
  uint8_t bytes[kInt8Elements];
  for (int k = 0; k < kInt8Elements; ++k) {
    bytes[k] = static_cast<uint8_t>(rounded_elements[k]);
    sums[k / 16] += rounded_elements[k];
  }
  __builtin_memcpy(out, bytes, sizeof(bytes));
  __builtin_memcpy(out + kInt8Scale, &scale, sizeof(scale));
  __builtin_memcpy(out + kInt8Sums, sums, sizeof(sums));
}

void pack_int8(const PackArgs& t) {
  for (int64_t at = 0; at < t.cols; at += kInt8Elements) {
    for (int r = 0; r < t.m; ++r) {
      pack_int8_block(t.rows[r], t.from, at, t.out + (at / kInt8Elements * t.m + r) * kInt8Words);
    }
  }
}

}  // namespace
}  // namespace polymath::backend::cpu
