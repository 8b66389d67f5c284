#pragma once

// Rows rounded to int8 in blocks of 32 elements. A block is kInt8Words words:
//
//   8 words of four elements | f32 scale | i32 sums of its first and last 16 elements | f32 scale times both sums
//
// and unused words. The scale maps the largest magnitude to 127. A block with a NaN or an infinity has a NaN for its
// scale.

#include "backend/cpu/kernels/dot.h"
#include "backend/cpu/kernels/kernels.h"

namespace polymath::backend::cpu {
namespace {

constexpr int kInt8Elements = 32;
constexpr float kTiny = 1e-30f;  // the largest magnitude of a block that counts as zeros

INLINE I32 larger_int(I32 a, I32 b) { return b > a ? b : a; }

INLINE int32_t largest_lane(I32 v) {
#if defined(__AVX512F__)
  return _mm512_reduce_max_epi32(reinterpret_cast<__m512i>(v));
#else
  int32_t most = v[0];
  for (int i = 1; i < kLanes; ++i) most = v[i] > most ? v[i] : most;
  return most;
#endif
}

INLINE int32_t sum_of_lanes(I32 v) {
#if defined(__AVX512F__)
  return _mm512_reduce_add_epi32(reinterpret_cast<__m512i>(v));
#else
  int32_t sum = v[0];
  for (int i = 1; i < kLanes; ++i) sum += v[i];
  return sum;
#endif
}

// Integers that fit a byte.
INLINE void store_bytes(void* p, I32 v) {
#if defined(__AVX512F__)
  _mm_storeu_si128(static_cast<__m128i*>(p), _mm512_maskz_cvtepi32_epi8(0xffff, reinterpret_cast<__m512i>(v)));
#else
  store_as(p, __builtin_convertvector(v, S8));
#endif
}

INLINE void pack_int8_block(const void* row, DType from, int64_t at, uint32_t* out) {
  constexpr int kVectors = kInt8Elements / kLanes;
  // Magnitudes are in the order of their bits. NaN and infinity are the largest.
  F32 x[kVectors];
  I32 most = {};
#pragma GCC unroll 8
  for (int i = 0; i < kVectors; ++i) {
    x[i] = load_row(row, from, at + i * kLanes);
    most = larger_int(most, reinterpret_cast<I32>(bits(vector_abs(x[i]))));
  }
  const int32_t largest_bits = largest_lane(most);
  const bool finite = largest_bits < 0x7f800000;
  float largest;
  __builtin_memcpy(&largest, &largest_bits, sizeof(largest));
  const float scale = finite ? largest / 127 : __builtin_nanf("");
  const float inverse = finite && largest > kTiny ? 127 / largest : 0;
  // Adding 1.5 * 2^23 rounds to an integer, kept in the low bits. Beside a scale of NaN the integers are zeros.
  const F32 magic = splat(12582912.0f);
  const I32 kept = splat_int(finite ? -1 : 0);
  I32 halves[2] = {};
#pragma GCC unroll 8
  for (int i = 0; i < kVectors; ++i) {
    const I32 elements = (reinterpret_cast<I32>(bits(rounded(x[i] * inverse) + magic)) - 0x4b400000) & kept;
    store_bytes(reinterpret_cast<std::byte*>(out) + i * kLanes, elements);
    halves[i * kLanes / 16] += elements;
  }
  const int32_t sums[2] = {sum_of_lanes(halves[0]), sum_of_lanes(halves[1])};
  const float whole = scale * (static_cast<float>(sums[0]) + static_cast<float>(sums[1]));
  __builtin_memcpy(out + kInt8Scale, &scale, sizeof(scale));
  __builtin_memcpy(out + kInt8Sums, sums, sizeof(sums));
  __builtin_memcpy(out + kInt8Whole, &whole, sizeof(whole));
}

void pack_int8(const PackArgs& t) {
  for (int r = 0; r < t.m; ++r) {
    uint32_t* out = t.out + r * kInt8Words;
    for (int64_t at = 0; at < t.cols; at += kInt8Elements, out += t.m * kInt8Words) {
      pack_int8_block(t.rows[r], t.from, at, out);
    }
  }
}

}  // namespace
}  // namespace polymath::backend::cpu
