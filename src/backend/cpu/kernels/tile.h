#pragma once

// The tile of a matrix product (see kernels.h), for any vector width and weight type.

#include "backend/cpu/kernels/kernels.h"
#include "backend/cpu/kernels/vec.h"

namespace polymath::backend::cpu {
namespace {

constexpr int kPanelVectors = kPanel / kLanes;
constexpr int kTileVectors = 2 * kPanelVectors;

// How one step of a vector of outputs is loaded and multiplied, by weight type.
struct F32Weights {
  using Loaded = F32;
  using Activation = F32;
  static constexpr int kVectorBytes = kLanes * 4;
  static INLINE Loaded load(const std::byte* w) { return load_as<F32>(w); }
  static INLINE Activation broadcast(uint32_t word) { return floats(splat_bits(word)); }
  static INLINE F32 add(F32 acc, Loaded w, Activation a) { return acc + w * a; }
};

struct F16Weights {
  using Loaded = F32;
  using Activation = F32;
  static constexpr int kVectorBytes = kLanes * 2;
  static INLINE Loaded load(const std::byte* w) {
#if defined(__AVX512F__)
    return reinterpret_cast<F32>(
        _mm512_maskz_cvtph_ps(0xffff, _mm256_loadu_si256(reinterpret_cast<const __m256i*>(w))));
#elif defined(__AVX2__)
    return reinterpret_cast<F32>(_mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(w))));
#else
    // The bits moved into place have an exponent 112 too small; a product mends that, subnormals too.
    const U32 h = __builtin_convertvector(load_as<U16>(w), U32);
    const U32 magnitude = (h & 0x7fffu) << 13;
    const F32 scaled = floats(magnitude) * 0x1p112f;
    const U32 special = magnitude | 0x7f800000u;  // infinity or NaN
    const U32 value = (h & 0x7c00u) == splat_bits(0x7c00u) ? special : bits(scaled);
    return floats(value | ((h & 0x8000u) << 16));
#endif
  }
  static INLINE Activation broadcast(uint32_t word) { return floats(splat_bits(word)); }
  static INLINE F32 add(F32 acc, Loaded w, Activation a) { return acc + w * a; }
};

#if defined(__AVX512BF16__)
struct Bf16Weights {
  using Loaded = __m512i;
  using Activation = __m512i;
  static constexpr int kVectorBytes = 64;
  static INLINE Loaded load(const std::byte* w) { return _mm512_loadu_si512(w); }
  static INLINE Activation broadcast(uint32_t word) { return _mm512_set1_epi32(static_cast<int>(word)); }
  static INLINE F32 add(F32 acc, Loaded w, Activation a) {
    return reinterpret_cast<F32>(
        _mm512_dpbf16_ps(reinterpret_cast<__m512>(acc), reinterpret_cast<__m512bh>(w), reinterpret_cast<__m512bh>(a)));
  }
};
#else
struct Bf16Weights {
  struct Loaded {
    F32 even, odd;
  };
  using Activation = Loaded;
  static constexpr int kVectorBytes = kLanes * 4;
  static INLINE Loaded split(U32 pair) { return {floats(pair << 16), floats(pair & 0xffff0000u)}; }
  static INLINE Loaded load(const std::byte* w) { return split(load_as<U32>(w)); }
  static INLINE Activation broadcast(uint32_t word) { return split(splat_bits(word)); }
  static INLINE F32 add(F32 acc, const Loaded& w, const Activation& a) {
    acc = acc + w.even * a.even;
    return acc + w.odd * a.odd;
  }
};
#endif

// Where the words of row r stand, and how far it is to the next step.
template <int M = 0>
struct PackedRows {
  static constexpr int kRow = 1, kStep = M;
};
struct ProbRows {
  static constexpr int kRow = kProbStride, kStep = 1;
};

// Vectors [begin, begin + N) of a tile for M rows.
template <typename W, int M, int N, typename A>
struct TileLoop {
  F32 acc[M][N];

  static INLINE int64_t vector_offset(int v, int64_t second) {
    return v < kPanelVectors ? v * W::kVectorBytes : second + (v - kPanelVectors) * W::kVectorBytes;
  }

  // `prefetch` runs beside w.
  INLINE void run(const uint32_t*& a, const std::byte*& w, int64_t steps, int begin, const TileArgs& t,
                  const std::byte* prefetch, int64_t prefetch_second) {
    const int64_t step_bytes = t.step_bytes, second = t.second;
    const std::byte* at = w;
    const uint32_t* words = a;
    for (int64_t k = 0; k < steps; ++k) {
      typename W::Loaded loaded[N];
#pragma GCC unroll 8
      for (int v = 0; v < N; ++v) loaded[v] = W::load(at + vector_offset(begin + v, second));
      __builtin_prefetch(prefetch, 0, 2);
      __builtin_prefetch(prefetch + prefetch_second, 0, 2);
#pragma GCC unroll 12
      for (int r = 0; r < M; ++r) {
        const auto x = W::broadcast(words[r * A::kRow]);
#pragma GCC unroll 8
        for (int v = 0; v < N; ++v) acc[r][v] = W::add(acc[r][v], loaded[v], x);
      }
      at += step_bytes;
      prefetch += step_bytes;
      words += A::kStep;
    }
    w = at;
    a = words;
  }

  INLINE void segment(const TileArgs& t, int i, int n, int begin, const uint32_t*& a) {
    const int64_t steps = i + 1 < n ? t.segment_steps : t.steps - (n - 1) * t.segment_steps;
    const std::byte* w = t.w[i] + t.offset;
    const std::byte* next = i + 1 < n ? t.w[i + 1] + t.offset : t.next;
    const int64_t next_second = i + 1 < n ? t.second : t.next_second;
    const int64_t tail = next == nullptr ? 0 : t.ahead < steps ? t.ahead : steps;
    const std::byte* prefetch = w + t.ahead * t.step_bytes;
    run(a, w, steps - tail, begin, t, prefetch, t.second);
    if (tail > 0) run(a, w, tail, begin, t, next, next_second);
  }

  INLINE void operator()(const TileArgs& t, int begin) {
#pragma GCC unroll 12
    for (int r = 0; r < M; ++r) {
#pragma GCC unroll 8
      for (int v = 0; v < N; ++v) {
        acc[r][v] = t.accumulate ? load_as<F32>(t.acc + r * t.acc_stride + (begin + v) * kLanes) : F32{};
      }
    }
    const uint32_t* a = t.a;
    const int n = static_cast<int>((t.steps + t.segment_steps - 1) / t.segment_steps);
    for (int i = 0; i < n; ++i) segment(t, i, n, begin, a);
#pragma GCC unroll 12
    for (int r = 0; r < M; ++r) {
#pragma GCC unroll 8
      for (int v = 0; v < N; ++v) store_as(t.acc + r * t.acc_stride + (begin + v) * kLanes, acc[r][v]);
    }
  }
};

// N vectors at a time are as many as the registers hold.
template <typename W, int M, typename A>
void tile(const TileArgs& t) {
  constexpr int kVectors = kLanes == 16 ? 2 : (M <= 3 ? 4 : 2);
  for (int begin = 0; begin < kTileVectors; begin += kVectors) {
    TileLoop<W, M, kVectors, A> loop;
    loop(t, begin);
  }
}

// As many rows as the registers hold; more are cut into blocks.
constexpr int kTileRowsMax = kLanes == 16 ? 12 : kLanes == 8 ? 6 : 3;
static_assert(kTileRowsMax <= kRowsMax);

template <typename W, typename A, int M = kTileRowsMax>
void fill_tiles(TileFn* tiles) {
  if constexpr (__is_same(A, ProbRows)) {
    tiles[M] = tile<W, M, ProbRows>;
  } else {
    tiles[M] = tile<W, M, PackedRows<M>>;
  }
  if constexpr (M > 1) fill_tiles<W, A, M - 1>(tiles);
}

}  // namespace
}  // namespace polymath::backend::cpu
