#pragma once

// 8-bit floats in the low byte of each lane, as f32. NaN and infinity are read as finite values: they are not written.
// No step has a subnormal operand, which would stall.

#include "backend/cpu/kernels/kernels.h"
#include "backend/cpu/kernels/vec.h"

namespace polymath::backend::cpu {
namespace {

// In the highest byte of each lane. kBits of mantissa; kBias between the exponents' biases, 127 and the format's.
// `normal` is wrong where the byte is subnormal: smallest / 2 * (1 + m / 2^kBits). There twice that less `smallest` is
// right. From `smallest` on, that is no less than `normal`.
template <int kBits, uint32_t kBias>
INLINE F32 top_byte_floats(U32 top) {
  const F32 normal = floats((top >> (1 + kBits) & 0x7fu << (23 - kBits)) + (kBias << 23));
  const F32 smallest = floats(splat_bits((kBias + 1) << 23));  // normal one; below it are the subnormal ones
  return floats(bits(smaller(normal, normal * 2.0f - smallest)) | (top & 0x80000000u));
}

INLINE F32 e4m3_top_floats(U32 top) { return top_byte_floats<3, 120>(top); }
INLINE F32 e4m3_floats(U32 byte) { return e4m3_top_floats(byte << 24); }
INLINE F32 e5m2_floats(U32 byte) { return top_byte_floats<2, 112>(byte << 24); }

typedef uint8_t U8 __attribute__((vector_size(kLanes)));
typedef int8_t I8 __attribute__((vector_size(kLanes)));

// Codes of the KV cache to bf16, which holds each of them exactly. n is a multiple of 32.
template <typename Decode>
INLINE void unpack_codes(const std::byte* codes, int64_t n, uint16_t* out, Decode decode) {
  for (int64_t i = 0; i < n; i += kLanes) {
    store_as(out + i, __builtin_convertvector(bits(decode(codes + i)) >> 16, U16));
  }
}

void unpack_kv(KvPacking packing, const std::byte* codes, int64_t n, uint16_t* out) {
  if (packing == KvPacking::kInt8) {
    unpack_codes(codes, n, out, [](const std::byte* at) { return __builtin_convertvector(load_as<I8>(at), F32); });
  } else if (packing == KvPacking::kE5M2) {
    unpack_codes(codes, n, out,
                 [](const std::byte* at) { return e5m2_floats(__builtin_convertvector(load_as<U8>(at), U32)); });
  } else {
    unpack_codes(codes, n, out,
                 [](const std::byte* at) { return e4m3_floats(__builtin_convertvector(load_as<U8>(at), U32)); });
  }
}

}  // namespace
}  // namespace polymath::backend::cpu
