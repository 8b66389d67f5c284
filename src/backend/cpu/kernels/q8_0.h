#pragma once

// Q8_0 weights in tiles. A block is 32 inputs: [32 outputs] f16 scales, then [32 inputs][32 outputs] bytes.
//
// Weights are unpacked to f32 in registers. So results equal those of the unpacked weights bit for bit.

#include "backend/cpu/kernels/tile.h"

namespace polymath::backend::cpu {
namespace {

typedef int8_t S8 __attribute__((vector_size(kLanes)));

struct Q8_0Weights {
  static constexpr std::string_view kFormat = "q8_0";
  static constexpr bool kPairs = false, kCaches = false;
  static constexpr int kBlockSteps = 32;
  static constexpr int kScaleBytes = 2, kRowBytes = kScaleBytes + kBlockSteps;  // of one output's block in a file
  static constexpr int kBlockBytes = kTile * kRowBytes;
  using Params = F32;  // scales

  static INLINE Params params(const std::byte* block, int v) {
    return F16Weights::load(block + v * kLanes * kScaleBytes);
  }
  static INLINE F32 load(const std::byte* block, int v, int step, Params scale) {
    const std::byte* at = block + kTile * kScaleBytes + step * kTile + v * kLanes;
#if defined(__AVX512F__)
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(at));
    return reinterpret_cast<F32>(_mm512_maskz_cvtepi32_ps(0xffff, _mm512_maskz_cvtepi8_epi32(0xffff, bytes))) * scale;
#elif defined(__AVX2__)
    const __m128i bytes = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(at));
    return reinterpret_cast<F32>(_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes))) * scale;
#else
    return __builtin_convertvector(load_as<S8>(at), F32) * scale;
#endif
  }

  static void scatter(const std::byte* row, int64_t n, int lane, std::byte* block) {
    for (int64_t i = 0; i < n; i += kBlockSteps, row += kRowBytes, block += kBlockBytes) {
      __builtin_memcpy(block + lane * kScaleBytes, row, kScaleBytes);
      for (int k = 0; k < kBlockSteps; ++k) block[kTile * kScaleBytes + k * kTile + lane] = row[kScaleBytes + k];
    }
  }
  static void gather(const std::byte* block, int64_t n, int lane, std::byte* row) {
    for (int64_t i = 0; i < n; i += kBlockSteps, row += kRowBytes, block += kBlockBytes) {
      __builtin_memcpy(row, block + lane * kScaleBytes, kScaleBytes);
      for (int k = 0; k < kBlockSteps; ++k) row[kScaleBytes + k] = block[kTile * kScaleBytes + k * kTile + lane];
    }
  }
};

}  // namespace
}  // namespace polymath::backend::cpu
