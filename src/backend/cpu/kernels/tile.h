#pragma once

// The tile of a GEMM (see kernels.h), for any vector width and weight type.

#include "backend/cpu/kernels/kernels.h"
#include "backend/cpu/kernels/vec.h"
#include "quant/format.h"

namespace polymath::backend::cpu {
namespace {

// A run's tile weights and the next run's fit the L2 cache.
constexpr int kRunSteps = 2048;

constexpr int kPanelVectors = kPanel / kLanes;
constexpr int kTileVectors = 2 * kPanelVectors;

// A plain type's block is one step: [2 panels][16 outputs][inputs of a step].
template <typename W>
struct PlainLayout {
  static constexpr int kWordBytes = W::kVectorBytes / kLanes, kInputs = W::kPairs ? 2 : 1;
  static constexpr int kInputBytes = kWordBytes / kInputs, kBlockBytes = kTile * kWordBytes;

  static void scatter(const std::byte* row, int64_t n, int lane, std::byte* block) {
    const int64_t whole = n / kInputs;
    std::byte* at = block + lane * kWordBytes;
    for (int64_t k = 0; k < whole; ++k) __builtin_memcpy(at + k * kBlockBytes, row + k * kWordBytes, kWordBytes);
    if (whole * kInputs == n) return;
    __builtin_memset(at + whole * kBlockBytes, 0, kWordBytes);
    __builtin_memcpy(at + whole * kBlockBytes, row + whole * kWordBytes, kInputBytes);
  }
  static void gather(const std::byte* block, int64_t n, int lane, std::byte* row) {
    const int64_t whole = n / kInputs;
    const std::byte* at = block + lane * kWordBytes;
    for (int64_t k = 0; k < whole; ++k) __builtin_memcpy(row + k * kWordBytes, at + k * kBlockBytes, kWordBytes);
    if (whole * kInputs < n) __builtin_memcpy(row + whole * kWordBytes, at + whole * kBlockBytes, kInputBytes);
  }
};

// By weight type: how one step of a vector of outputs is loaded and multiplied.
struct F32Weights {
  static constexpr std::string_view kFormat = "float32";
  static constexpr bool kPairs = false, kCaches = true;  // kCaches: a type of the KV cache
  using Loaded = F32;
  using Activation = F32;
  static constexpr int kVectorBytes = kLanes * 4;
  static INLINE Loaded load(const std::byte* w) { return load_as<F32>(w); }
  static INLINE Activation broadcast(uint32_t word) { return floats(splat_bits(word)); }
  static INLINE F32 add(F32 acc, Loaded w, Activation a) { return acc + w * a; }
};

struct F16Weights {
  static constexpr std::string_view kFormat = "float16";
  static constexpr bool kPairs = false, kCaches = false;
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
    // The shifted exponent is 112 too small. Multiplying by 2^112 corrects it, also for subnormals.
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

struct Bf16Type {
  static constexpr std::string_view kFormat = "bfloat16";
  static constexpr bool kPairs = true, kCaches = true;
};
#if defined(__AVX512BF16__)
struct Bf16Weights : Bf16Type {
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
struct Bf16Weights : Bf16Type {
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

// Words from one row to the next, and from one step to the next.
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

  // The operands of the next step.
  struct Operands {
    const uint32_t* a;
    const std::byte* w;
  };
  // What is prefetched meanwhile: as many steps as are multiplied.
  struct Prefetch {
    const std::byte* at;
    int64_t second;  // bytes from its first panel to the second
  };

  INLINE void run(Operands& operands, int64_t steps, int begin, const TileArgs& t, Prefetch prefetch) {
    const int64_t step_bytes = t.block_bytes, second = t.second;
    const std::byte* at = operands.w;
    const uint32_t* words = operands.a;
    for (int64_t k = 0; k < steps; ++k) {
      typename W::Loaded loaded[N];
#pragma GCC unroll 8
      for (int v = 0; v < N; ++v) loaded[v] = W::load(at + vector_offset(begin + v, second));
      __builtin_prefetch(prefetch.at, 0, 2);
      __builtin_prefetch(prefetch.at + prefetch.second, 0, 2);
#pragma GCC unroll 12
      for (int r = 0; r < M; ++r) {
        const auto x = W::broadcast(words[r * A::kRow]);
#pragma GCC unroll 8
        for (int v = 0; v < N; ++v) acc[r][v] = W::add(acc[r][v], loaded[v], x);
      }
      at += step_bytes;
      prefetch.at += step_bytes;
      words += A::kStep;
    }
    operands = {words, at};
  }

  INLINE void segment(const TileArgs& t, int i, int n, int begin, const uint32_t*& a) {
    const int64_t blocks = i + 1 < n ? t.segment_blocks : t.blocks - (n - 1) * t.segment_blocks;
    const std::byte* w = t.w[i] + t.offset;
    const std::byte* next = i + 1 < n ? t.w[i + 1] + t.offset : t.next;
    const int64_t next_second = i + 1 < n ? t.second : t.next_second;
    const int64_t tail = next == nullptr ? 0 : t.ahead < blocks ? t.ahead : blocks;
    const std::byte* prefetch = w + t.ahead * t.block_bytes;
    Operands operands{a, w};
    run(operands, blocks - tail, begin, t, {prefetch, t.second});
    if (tail > 0) run(operands, tail, begin, t, {next, next_second});
    a = operands.a;
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
    const int n = static_cast<int>((t.blocks + t.segment_blocks - 1) / t.segment_blocks);
    for (int i = 0; i < n; ++i) segment(t, i, n, begin, a);
#pragma GCC unroll 12
    for (int r = 0; r < M; ++r) {
#pragma GCC unroll 8
      for (int v = 0; v < N; ++v) store_as(t.acc + r * t.acc_stride + (begin + v) * kLanes, acc[r][v]);
    }
  }
};

// N vectors at a time: as many as the registers hold.
template <typename W, int M, typename A>
void tile(const TileArgs& t) {
  constexpr int kVectors = kLanes == 16 ? 2 : (M <= 3 ? 4 : 2);
  for (int begin = 0; begin < kTileVectors; begin += kVectors) {
    TileLoop<W, M, kVectors, A> loop;
    loop(t, begin);
  }
}

// As many rows as the registers hold. More are cut into blocks.
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

template <typename W, typename Layout>
WeightKernels weight_kernels() {
  WeightKernels k;
  k.format = quant::find_format(W::kFormat);
  k.pairs = W::kPairs;
  k.rows_max = kTileRowsMax;
  k.block_steps = 1;
  k.run_steps = kRunSteps;
  k.block_bytes = Layout::kBlockBytes;
  k.scatter = Layout::scatter;
  k.gather = Layout::gather;
  fill_tiles<W, PackedRows<>>(k.tiles);
  if constexpr (W::kCaches) fill_tiles<W, ProbRows>(k.prob_tiles);
  return k;
}

}  // namespace
}  // namespace polymath::backend::cpu
