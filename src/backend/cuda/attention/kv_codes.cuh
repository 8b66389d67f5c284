#pragma once

// A packed cache's elements: values to codes when a token is written, codes to bf16 when attention reads them.
//
// Decoding needs no table and no branch, and is exact. A code's fields are shifted to where bf16 has its own. A power
// of two then corrects the exponent. An int8's magnitude becomes the mantissa of 128 + magnitude; 128 is subtracted.
// Sources: the OCP specification OFP8, version 1.0; PTX ISA 9.0, cvt and fma.

#include <cuda_fp8.h>

#include "backend/cuda/attention/kv_layout.cuh"
#include "backend/cuda/device_math.cuh"

namespace polymath::backend::cuda {

__device__ __forceinline__ uint32_t magnitude_bits(float v) { return __float_as_uint(v) & 0x7fffffffu; }
constexpr uint32_t kInfinityBits = 0x7f800000u;

// Of the largest of a head's magnitudes, which are ordered as their bits are. NaN: one of them is, or is infinite.
__device__ __forceinline__ float scale_of_head(KvCode code, uint32_t largest) {
  if (largest >= kInfinityBits) return __uint_as_float(0x7fc00000u);
  const float top = code == KvCode::kE4M3 ? 448.0f : code == KvCode::kE5M2 ? 57344.0f : 127.0f;
  return __fdiv_rn(__uint_as_float(largest), top);
}

// A value's code: to the nearest, of two to the even one.
__device__ __forceinline__ uint32_t code_of(KvCode code, float scale, float v) {
  if (!(scale > 0)) return 0;
  const float part = __fdiv_rn(v, scale);
  if (code == KvCode::kE4M3) return __nv_cvt_float_to_fp8(part, __NV_SATFINITE, __NV_E4M3);
  uint32_t magnitude = min(__float2uint_rn(fabsf(part)), 127u);
  if (code == KvCode::kE5M2) {  // the upper half of f16, as kv_packing.cpp rounds it
    const uint32_t half = __half_as_ushort(__float2half_rn(fabsf(part)));
    magnitude = min((half + 0x7fu + (half >> 8 & 1u)) >> 8, 0x7bu);
  }
  return (__float_as_uint(part) >> 24 & 0x80u) | magnitude;
}

// By a warp: a head of which lane l has elements l, l + 32, ...
template <int kValues>
__device__ __forceinline__ void put_packed_head(const Kv& kv, const PackedPlace& place, int dim,
                                                const float (&v)[kValues]) {
  const int lane = threadIdx.x % kWarp;
  uint32_t largest = 0;
#pragma unroll
  for (int i = 0; i < kValues; ++i) largest = max(largest, lane + i * kWarp < dim ? magnitude_bits(v[i]) : 0u);
  const float scale = scale_of_head(kv.code, __reduce_max_sync(kAllLanes, largest));
  auto* const data = static_cast<unsigned char*>(kv.data);
  if (lane == 0) *reinterpret_cast<float*>(data + place.scale) = scale;
#pragma unroll
  for (int i = 0; i < kValues; ++i) {
    const int c = lane + i * kWarp;
    if (c < dim) data[place.codes + code_place(c, dim)] = static_cast<unsigned char>(code_of(kv.code, scale, v[i]));
  }
}

// Four neighbouring elements' codes, in order.
__device__ __forceinline__ uint32_t codes_of_four(KvCode code, float scale, const float4& v) {
  return code_of(code, scale, v.x) | code_of(code, scale, v.y) << 8 | code_of(code, scale, v.z) << 16 |
         code_of(code, scale, v.w) << 24;
}
// Lane l has elements 4 l and the next three of a head. Returns the word that it stores. By whole warps.
// `word`: its place among the head's words.
__device__ __forceinline__ uint32_t interleaved_codes(uint32_t own, int& word) {
  const int lane = threadIdx.x % kWarp;
  const uint32_t other = __shfl_xor_sync(kAllLanes, own, 2);  // of the elements 8 before or after
  const bool second = (lane & 2) != 0;
  word = (lane & ~3) + (lane & 1) * 2 + (second ? 1 : 0);
  return second ? __byte_perm(other, own, 0x7362) : __byte_perm(own, other, 0x5140);
}

__device__ __forceinline__ float load_float(uint32_t at) {
  float v;
  asm volatile("ld.shared.f32 %0, [%1];" : "=f"(v) : "r"(at) : "memory");
  return v;
}

// Decodes pairs: of a word the bytes 0 and 2, and the bytes 1 and 3, become two bf16 each.
class KvDecoder {
 public:
  __device__ __forceinline__ explicit KvDecoder(KvCode code) {
    const bool int8 = code == KvCode::kInt8, e4m3 = code == KvCode::kE4M3;
    shift_ = int8 ? 8 : e4m3 ? 4 : 3;
    mask_ = int8 ? 0x007f007fu : e4m3 ? 0x07f007f0u : 0x0fe00fe0u;
    base_ = int8 ? 0x43004300u : 0;                                   // 128
    factor_ = int8 ? 0x3f803f80u : e4m3 ? 0x7b807b80u : 0x77807780u;  // 1, 2^120, 2^112
  }
  __device__ __forceinline__ uint32_t even(uint32_t word) const { return pair(word << 8); }
  __device__ __forceinline__ uint32_t odd(uint32_t word) const { return pair(word); }

 private:
  // Codes are the upper bytes of the halves.
  __device__ __forceinline__ uint32_t pair(uint32_t codes) const {
    const uint32_t base = (codes & 0x80008000u) | base_, number = (codes >> shift_ & mask_) | base;
    uint32_t y;
    asm("{\n\t.reg .b32 n;\n\tneg.bf16x2 n, %3;\n\tfma.rn.bf16x2 %0, %1, %2, n;\n\t}"
        : "=r"(y)
        : "r"(number), "r"(factor_), "r"(base));
    return y;
  }

  uint32_t shift_, mask_, base_, factor_;
};

// Pairs of bf16 times an f32 scale, rounded to bf16. The scale is the sum of two bf16.
class KvScale {
 public:
  __device__ __forceinline__ explicit KvScale(float scale) {
    const float high = __bfloat162float(__float2bfloat16_rn(scale));
    high_ = two_bf16(high, high), low_ = two_bf16(scale - high, scale - high);
  }
  __device__ __forceinline__ uint32_t times(uint32_t pair) const {
    uint32_t y;
    asm("{\n\t.reg .b32 t;\n\tmul.rn.bf16x2 t, %1, %3;\n\tfma.rn.bf16x2 %0, %1, %2, t;\n\t}"
        : "=r"(y)
        : "r"(pair), "r"(high_), "r"(low_));
    return y;
  }

 private:
  uint32_t high_, low_;
};

// 16 elements: the first eight, then the others.
struct Sixteen {
  uint4 low, high;
};
__device__ __forceinline__ Sixteen unpacked(const KvDecoder& decoder, const KvScale& scale, const uint4& codes) {
  return {{scale.times(decoder.even(codes.x)), scale.times(decoder.even(codes.y)), scale.times(decoder.even(codes.z)),
           scale.times(decoder.even(codes.w))},
          {scale.times(decoder.odd(codes.x)), scale.times(decoder.odd(codes.y)), scale.times(decoder.odd(codes.z)),
           scale.times(decoder.odd(codes.w))}};
}

}  // namespace polymath::backend::cuda
