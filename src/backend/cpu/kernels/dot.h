#pragma once

// Dot products of four bytes. A lane of a weight vector has four codes of one output. An activation word has four
// signed bytes.
//
// The instructions want unsigned weights. AVX2 moves the signs of signed codes to the activations. VNNI adds 128 to the
// codes, and kSignedZero takes that back.

#include "backend/cpu/kernels/vec.h"

namespace polymath::backend::cpu {
namespace {

typedef int8_t S8 __attribute__((vector_size(kLanes)));
typedef uint8_t U8 __attribute__((vector_size(kLanes)));

INLINE I32 splat_int(int32_t v) { return v - I32{}; }

// kLanes bytes as numbers.
INLINE I32 widen_bytes(const std::byte* p) {
#if defined(__AVX512F__)
  return reinterpret_cast<I32>(_mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))));
#elif defined(__AVX2__)
  return reinterpret_cast<I32>(_mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p))));
#else
  return __builtin_convertvector(load_as<U8>(p), I32);
#endif
}
INLINE I32 widen_signed_bytes(const std::byte* p) { return (widen_bytes(p) ^ 128) - 128; }

INLINE F32 to_floats(I32 v) {
#if defined(__AVX512F__)
  return reinterpret_cast<F32>(_mm512_cvtepi32_ps(reinterpret_cast<__m512i>(v)));
#elif defined(__AVX2__)
  return reinterpret_cast<F32>(_mm256_cvtepi32_ps(reinterpret_cast<__m256i>(v)));
#else
  return __builtin_convertvector(v, F32);
#endif
}

// A value that no later operation may fuse with, so that every instruction set rounds it.
INLINE F32 rounded(F32 v) {
#if defined(__AVX512F__)
  __asm__("" : "+v"(v));
#elif defined(__AVX2__) || defined(__SSE__)
  __asm__("" : "+x"(v));
#else
  volatile F32 kept = v;
  v = kept;
#endif
  return v;
}

// Each byte of `codes`, below 16, becomes an entry of the table.
INLINE U32 look_up(const int8_t* table, U32 codes) {
#if defined(__AVX512F__)
  const __m512i entries = _mm512_broadcast_i32x4(_mm_loadu_si128(reinterpret_cast<const __m128i*>(table)));
  return reinterpret_cast<U32>(_mm512_shuffle_epi8(entries, reinterpret_cast<__m512i>(codes)));
#elif defined(__AVX2__)
  const __m256i entries = _mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(table)));
  return reinterpret_cast<U32>(_mm256_shuffle_epi8(entries, reinterpret_cast<__m256i>(codes)));
#else
  uint8_t bytes[kLanes * 4];
  store_as(bytes, codes);
  for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(table[byte]);
  return load_as<U32>(bytes);
#endif
}

// Each lane, below 16, becomes an entry of the table.
INLINE F32 look_up_floats(const float* table, U32 codes) {
#if defined(__AVX512F__)
  return reinterpret_cast<F32>(_mm512_permutexvar_ps(reinterpret_cast<__m512i>(codes), _mm512_loadu_ps(table)));
#elif defined(__AVX2__)
  const __m256i at = reinterpret_cast<__m256i>(codes);
  const __m256 low = _mm256_permutevar8x32_ps(_mm256_loadu_ps(table), at);
  const __m256 high = _mm256_permutevar8x32_ps(_mm256_loadu_ps(table + 8), at);
  return reinterpret_cast<F32>(_mm256_blendv_ps(low, high, _mm256_castsi256_ps(_mm256_slli_epi32(at, 28))));
#else
  F32 out = {};
  for (int i = 0; i < kLanes; ++i) out[i] = table[codes[i]];
  return out;
#endif
}

// Byte j of each lane.
template <bool kSigned>
INLINE I32 byte_of(U32 quad, int j) {
  const I32 up = reinterpret_cast<I32>(quad << (24 - 8 * j));
  return kSigned ? up >> 24 : reinterpret_cast<I32>(reinterpret_cast<U32>(up) >> 24);
}

#if defined(__AVX512VNNI__)
constexpr int kSignedZero = 128;

template <bool kSigned>
INLINE U32 codes_of(U32 quad) {
  return kSigned ? quad ^ 0x80808080u : quad;
}
// kSums: of other instruction sets, how many sums of two fit 16 bits together.
template <bool kSigned, int kSums>
INLINE I32 add_dots(I32 acc, const U32* codes, const uint32_t* words, int n) {
#pragma GCC unroll 8
  for (int q = 0; q < n; ++q) {
    acc = reinterpret_cast<I32>(_mm512_dpbusd_epi32(reinterpret_cast<__m512i>(acc), reinterpret_cast<__m512i>(codes[q]),
                                                    _mm512_set1_epi32(static_cast<int>(words[q]))));
  }
  return acc;
}
#elif defined(__AVX2__)
constexpr int kSignedZero = 0;

template <bool kSigned>
INLINE U32 codes_of(U32 quad) {
  return quad;
}
template <bool kSigned, int kSums>
INLINE I32 add_dots(I32 acc, const U32* codes, const uint32_t* words, int n) {
  const __m256i ones = _mm256_set1_epi16(1);
  const auto pairs = [&](int q) __attribute__((always_inline)) {
    const __m256i w = reinterpret_cast<__m256i>(codes[q]);
    const __m256i a = _mm256_set1_epi32(static_cast<int>(words[q]));
    return kSigned ? _mm256_maddubs_epi16(_mm256_sign_epi8(w, w), _mm256_sign_epi8(a, w)) : _mm256_maddubs_epi16(w, a);
  };
#pragma GCC unroll 8
  for (int q = 0; q < n; q += kSums) {
    __m256i sum = pairs(q);
#pragma GCC unroll 4
    for (int i = 1; i < kSums; ++i) sum = _mm256_add_epi16(sum, pairs(q + i));
    acc += reinterpret_cast<I32>(_mm256_madd_epi16(sum, ones));
  }
  return acc;
}
#else
constexpr int kSignedZero = 0;

template <bool kSigned>
INLINE U32 codes_of(U32 quad) {
  return quad;
}
template <bool kSigned, int kSums>
INLINE I32 add_dots(I32 acc, const U32* codes, const uint32_t* words, int n) {
  for (int q = 0; q < n; ++q) {
    for (int j = 0; j < 4; ++j) {
      const int32_t a = static_cast<int8_t>(words[q] >> (8 * j));
      acc += byte_of<kSigned>(codes[q], j) * a;
    }
  }
  return acc;
}
#endif

}  // namespace
}  // namespace polymath::backend::cpu
