#pragma once

// Vectors of the width that the including file is compiled for. Only the files that fill a Kernels table include this.
//
// The same names mean other instructions in each of these files, so everything has internal linkage. For the same
// reason nothing here calls an inline function of the standard library.

#include <cstddef>
#include <cstdint>

#include "backend/backend.h"

#if defined(__AVX2__)
#include <immintrin.h>
#endif

#pragma GCC diagnostic ignored "-Wpsabi"

namespace polymath::backend::cpu {
namespace {

#if defined(__AVX512F__)
constexpr int kLanes = 16;
#elif defined(__AVX2__)
constexpr int kLanes = 8;
#else
constexpr int kLanes = 4;
#endif

typedef float F32 __attribute__((vector_size(kLanes * 4)));
typedef int32_t I32 __attribute__((vector_size(kLanes * 4)));
typedef uint32_t U32 __attribute__((vector_size(kLanes * 4)));
typedef uint16_t U16 __attribute__((vector_size(kLanes * 2)));

#define INLINE inline __attribute__((always_inline))

template <typename V>
INLINE V load_as(const void* p) {
  V v;
  __builtin_memcpy(&v, p, sizeof(V));
  return v;
}
template <typename V>
INLINE void store_as(void* p, V v) {
  __builtin_memcpy(p, &v, sizeof(V));
}

INLINE F32 splat(float v) { return v - F32{}; }
INLINE U32 splat_bits(uint32_t v) { return v - U32{}; }
INLINE U32 bits(F32 v) { return reinterpret_cast<U32>(v); }
INLINE F32 floats(U32 v) { return reinterpret_cast<F32>(v); }
INLINE F32 smaller(F32 a, F32 b) { return b < a ? b : a; }  // a NaN in `a` stays
INLINE F32 larger(F32 a, F32 b) { return b > a ? b : a; }   // a NaN in `a` stays
INLINE F32 vector_abs(F32 a) { return floats(bits(a) & splat_bits(0x7fffffffu)); }

// To nearest even, as tensor::f32_to_bf16. NaN stays NaN. The result is in the low halves.
INLINE U32 round_to_bf16(F32 v) {
  const U32 b = bits(v);
  const U32 rounded = (b + 0x7fffu + ((b >> 16) & 1u)) >> 16;
  const U32 nan = (b >> 16) | 0x40u;
  return (b & 0x7fffffffu) > splat_bits(0x7f800000u) ? nan : rounded;
}

INLINE F32 widen_bf16(const void* p) { return floats(__builtin_convertvector(load_as<U16>(p), U32) << 16); }
INLINE void narrow_bf16(void* p, F32 v) { store_as(p, __builtin_convertvector(round_to_bf16(v), U16)); }

INLINE F32 load_row(const void* data, DType dtype, int64_t i) {
  return dtype == DType::kF32 ? load_as<F32>(static_cast<const float*>(data) + i)
                              : widen_bf16(static_cast<const uint16_t*>(data) + i);
}
INLINE void store_row(void* data, DType dtype, int64_t i, F32 v) {
  if (dtype == DType::kF32) {
    store_as(static_cast<float*>(data) + i, v);
  } else {
    narrow_bf16(static_cast<uint16_t*>(data) + i, v);
  }
}

// The first n < kLanes elements. The rest are 0.
INLINE F32 load_part(const void* data, DType dtype, int64_t i, int64_t n) {
  float part[kLanes] = {};
  if (dtype == DType::kF32) {
    for (int64_t j = 0; j < n; ++j) part[j] = static_cast<const float*>(data)[i + j];
  } else {
    uint16_t half[kLanes] = {};
    for (int64_t j = 0; j < n; ++j) half[j] = static_cast<const uint16_t*>(data)[i + j];
    return widen_bf16(half);
  }
  return load_as<F32>(part);
}
INLINE void store_part(void* data, DType dtype, int64_t i, int64_t n, F32 v) {
  if (dtype == DType::kF32) {
    float part[kLanes];
    store_as(part, v);
    for (int64_t j = 0; j < n; ++j) static_cast<float*>(data)[i + j] = part[j];
  } else {
    uint16_t part[kLanes];
    narrow_bf16(part, v);
    for (int64_t j = 0; j < n; ++j) static_cast<uint16_t*>(data)[i + j] = part[j];
  }
}

// f(i, load, store) over a row's vectors and its rest, so that a loop is written once:
//   for_vectors(cols, [&](int64_t i, auto get, auto put) { put(y, dtype, get(x, dtype) * 2); });
template <typename F>
INLINE void for_vectors(int64_t n, F f) {
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    f(
        i, [i](const void* d, DType t) { return load_row(d, t, i); },
        [i](void* d, DType t, F32 v) { store_row(d, t, i, v); });
  }
  if (i < n) {
    f(
        i, [i, n](const void* d, DType t) { return load_part(d, t, i, n - i); },
        [i, n](void* d, DType t, F32 v) { store_part(d, t, i, n - i, v); });
  }
}

// Adds halves, in a fixed order.
INLINE float sum_lanes(F32 v) {
#if defined(__AVX512F__)
  return _mm512_reduce_add_ps(reinterpret_cast<__m512>(v));  // in the same order
#else
  float part[kLanes];
  store_as(part, v);
  for (int half = kLanes / 2; half > 0; half /= 2) {
    for (int i = 0; i < half; ++i) part[i] += part[i + half];
  }
  return part[0];
#endif
}
// NaN if a lane is.
INLINE float max_lanes(F32 v) {
#if defined(__AVX512F__)
  const __m512 lanes = reinterpret_cast<__m512>(v);
  const bool has_nan = _mm512_cmp_ps_mask(lanes, lanes, _CMP_UNORD_Q) != 0;
  return has_nan ? __builtin_nanf("") : _mm512_reduce_max_ps(lanes);
#else
  float part[kLanes];
  store_as(part, v);
  for (int i = 1; i < kLanes; ++i) part[0] = part[i] > part[0] || part[i] != part[i] ? part[i] : part[0];
  return part[0];
#endif
}

// e^x with a relative error below 2e-7. It is 0 below -87.3 and infinity above 88.7. NaN stays NaN.
INLINE F32 vector_exp(F32 x) {
  const F32 clamped = smaller(larger(x, splat(-87.4f)), splat(88.8f));
  const F32 magic = splat(12582912.0f);  // 1.5 * 2^23: adding it rounds to an integer, kept in the low bits
  const F32 shifted = clamped * 1.44269504f + magic;
  const F32 n = shifted - magic;
  const F32 r = (clamped - n * 0.693145752f) - n * 1.42860677e-6f;
  F32 p = r * (1.0f / 5040) + 1.0f / 720;  // Taylor's: |r| <= 0.35, the first term left out is below 6e-9
  p = p * r + 1.0f / 120;
  p = p * r + 1.0f / 24;
  p = p * r + 1.0f / 6;
  p = p * r + 0.5f;
  p = p * r * r + r + 1.0f;
#if defined(__AVX512F__)
  const F32 result =
      reinterpret_cast<F32>(_mm512_maskz_scalef_ps(0xffff, reinterpret_cast<__m512>(p), reinterpret_cast<__m512>(n)));
#else
  // 2^n as two factors: n may be 128.
  const I32 exponent = reinterpret_cast<I32>(bits(shifted)) - 0x4b400000;
  const I32 low = exponent >> 1, high = exponent - low;
  const F32 result =
      p * floats(reinterpret_cast<U32>((low + 127) << 23)) * floats(reinterpret_cast<U32>((high + 127) << 23));
#endif
  return x < splat(-87.3f) ? F32{} : result;
}

INLINE F32 vector_glu(const GluParams& params, F32 gate, F32 up) {
  switch (params.kind) {
    case GluKind::kSilu:
      return gate / (1.0f + vector_exp(-gate)) * up;
    case GluKind::kSwigluClamp: {
      const F32 g = smaller(gate, splat(params.limit));
      const F32 u = larger(smaller(up, splat(params.limit)), splat(-params.limit));
      return g / (1.0f + vector_exp(-params.alpha * g)) * (u + 1.0f);
    }
    case GluKind::kGelu: {  // 0.5 (1 + tanh(t)) = 1 / (1 + e^-2t)
      const F32 t = 0.7978845608028654f * (gate + 0.044715f * gate * gate * gate);
      return gate / (1.0f + vector_exp(-2.0f * t)) * up;
    }
    case GluKind::kGeluErf: {
      F32 out{};
      // Not glu_value(): the linker may keep this file's copy of an inline function, with instructions that others
      // lack.
      for (size_t i = 0; i < sizeof(F32) / sizeof(float); ++i) {
        out[i] = 0.5f * gate[i] * (1.0f + erff(0.7071067811865476f * gate[i])) * up[i];
      }
      return out;
    }
    case GluKind::kCount:
      break;
  }
  return F32{};
}

}  // namespace
}  // namespace polymath::backend::cpu
