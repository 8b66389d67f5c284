#pragma once

// The tile of a GEMM on AMX: bf16 pairs, sums in f32.
//
// AMX has eight tile registers of 16 rows of 64 bytes. A multiplication adds [rows][16 pairs] times
// [16 pairs][16 outputs] to [rows][16 outputs]. Four registers are the sums of 32 rows and 32 outputs. Two hold
// activations and two hold weights: each is used twice. Of weights, tiles of 33 to 48 rows have six registers of sums,
// and read less from the L2 cache.
//
// A weight's block is 16 steps: [2 panels][16 steps][16 outputs][2 inputs], 2048 bytes. Rows of activations have the 16
// words of a block side by side. The KV cache keeps the layout of kv.h. Where a register's steps lie in two KV blocks,
// or end before 16, they are copied with zeros behind them.
//
// A row's sums do not depend on the other rows of its register. So rows are independent here, too.
// Source: Intel 64 and IA-32 Architectures Software Developer's Manual, volume 2, TDPBF16PS.

#include "backend/cpu/kernels/kernels.h"
#include "backend/cpu/kernels/tile.h"

namespace polymath::backend::cpu {
namespace {

constexpr int kAmxSteps = 16;  // words of a register's row
constexpr int kAmxRows = 16;   // rows of a register
constexpr int kAmxRowBytes = 64;
constexpr int kAmxPanelBytes = kAmxSteps * kAmxRowBytes;
constexpr int kAmxBlockBytes = 2 * kAmxPanelBytes;
// A run's weights and the rows of a segment stay in the L2 cache (context.h). Shorter runs load and store the sums more
// often, and prefetch later.
constexpr int kAmxRunSteps = 64 * kAmxSteps;

// Registers 0 and 1 are sums of the first 16 rows, 2 and 3 of the others. 4 and 5 are activations, 6 and 7 weights.
struct alignas(64) TileConfig {
  uint8_t palette = 1;
  uint8_t start_row = 0;
  uint8_t reserved[14] = {};
  uint16_t row_bytes[16] = {};
  uint8_t rows[16] = {};
};

// GCC's tile instructions do not say what they read. Without this, stores before them may be left out.
INLINE void write_memory() { __asm__ volatile("" ::: "memory"); }

// Rows of the two registers of activations. A thread keeps its configuration: to load one takes as long as a few
// multiplications. 0: none was loaded.
thread_local int configured_rows = 0;

INLINE void configure(int m) {
  if (configured_rows == m) return;
  configured_rows = m;
  const int first = m < kAmxRows ? m : kAmxRows, second = m - first;
  TileConfig config;
  const int rows[8] = {first, first, second, second, first, second, kAmxSteps, kAmxSteps};
  for (int i = 0; i < 8; ++i) {
    config.row_bytes[i] = rows[i] > 0 ? kAmxRowBytes : 0;
    config.rows[i] = static_cast<uint8_t>(rows[i]);
  }
  write_memory();
  _tile_loadconfig(&config);
}

// Where activations lie, in bytes: a row is 16 words, a block is those of all rows.
struct Activations {
  const std::byte* at;
  int64_t row_bytes, block_bytes;
};

// kTwo: there are more rows than 16.
template <bool kTwo>
struct AmxTile {
  static INLINE void load_sums(const TileArgs& t) {
    const int64_t stride = t.acc_stride * 4;
    write_memory();
    if (!t.accumulate) {
      _tile_zero(0);
      _tile_zero(1);
      if constexpr (kTwo) {
        _tile_zero(2);
        _tile_zero(3);
      }
      return;
    }
    _tile_loadd(0, t.acc, stride);
    _tile_loadd(1, t.acc + kPanel, stride);
    if constexpr (kTwo) {
      _tile_loadd(2, t.acc + kAmxRows * t.acc_stride, stride);
      _tile_loadd(3, t.acc + kAmxRows * t.acc_stride + kPanel, stride);
    }
  }

  static INLINE void store_sums(const TileArgs& t) {
    const int64_t stride = t.acc_stride * 4;
    _tile_stored(0, t.acc, stride);
    _tile_stored(1, t.acc + kPanel, stride);
    if constexpr (kTwo) {
      _tile_stored(2, t.acc + kAmxRows * t.acc_stride, stride);
      _tile_stored(3, t.acc + kAmxRows * t.acc_stride + kPanel, stride);
    }
  }

  static INLINE void add(const Activations& a, const std::byte* w0, const std::byte* w1) {
    _tile_loadd(6, w0, kAmxRowBytes);
    _tile_loadd(4, a.at, a.row_bytes);
    _tile_dpbf16ps(0, 4, 6);
    _tile_loadd(7, w1, kAmxRowBytes);
    _tile_dpbf16ps(1, 4, 7);
    if constexpr (kTwo) {
      _tile_loadd(5, a.at + kAmxRows * a.row_bytes, a.row_bytes);
      _tile_dpbf16ps(2, 5, 6);
      _tile_dpbf16ps(3, 5, 7);
    }
  }
};

INLINE void prefetch_lines(const std::byte* at, int n) {
  for (int i = 0; i < n; ++i) __builtin_prefetch(at + i * kAmxRowBytes, 0, 2);
}

// Streamed weights: the block `ahead`, at the end of `next`. Cached ones: `next` alone, spread over all blocks.
struct Prefetches {
  static constexpr int kBlockLines = kAmxBlockBytes / kAmxRowBytes;

  INLINE Prefetches(const TileArgs& t, const std::byte* w) {
    const int64_t tail = t.next == nullptr ? 0 : t.ahead < t.blocks ? t.ahead : t.blocks;
    jump = t.cached ? 0 : t.blocks - tail;
    at = w + t.ahead * kAmxBlockBytes;
    lines = t.cached ? static_cast<int>((tail * kBlockLines + t.blocks - 1) / t.blocks) : kBlockLines;
  }

  INLINE void before_block(const TileArgs& t, int64_t k) {
    if (k == jump && t.next != nullptr) at = t.next;
    prefetch_lines(at, lines);
    at += lines * kAmxRowBytes;
  }

  const std::byte* at;
  int64_t jump;  // the block that begins with `next`
  int lines;     // a block
};

template <bool kTwo>
void amx_weight_rows(const TileArgs& t) {
  configure(t.m);
  AmxTile<kTwo>::load_sums(t);
  Activations a{reinterpret_cast<const std::byte*>(t.a), kAmxRowBytes, int64_t{t.m} * kAmxRowBytes};
  const std::byte* w = t.w[0] + t.offset;
  Prefetches prefetches(t, w);
  for (int64_t k = 0; k < t.blocks; ++k) {
    prefetches.before_block(t, k);
    AmxTile<kTwo>::add(a, w, w + kAmxPanelBytes);
    a.at += a.block_bytes;
    w += kAmxBlockBytes;
  }
  AmxTile<kTwo>::store_sums(t);
}

// 33 to 48 rows. The last 16 may overlap those before: such rows are summed twice, to the same sums.
struct AmxTallTile {
  static constexpr int kRows = 3 * kAmxRows;

  static INLINE int64_t last(const TileArgs& t) { return t.m - kAmxRows; }

  static INLINE void load_sums(const TileArgs& t) {
    const int64_t stride = t.acc_stride * 4;
    AmxTile<true>::load_sums(t);
    if (!t.accumulate) {
      _tile_zero(4);
      _tile_zero(5);
      return;
    }
    _tile_loadd(4, t.acc + last(t) * t.acc_stride, stride);
    _tile_loadd(5, t.acc + last(t) * t.acc_stride + kPanel, stride);
  }

  static INLINE void store_sums(const TileArgs& t) {
    const int64_t stride = t.acc_stride * 4;
    AmxTile<true>::store_sums(t);
    _tile_stored(4, t.acc + last(t) * t.acc_stride, stride);
    _tile_stored(5, t.acc + last(t) * t.acc_stride + kPanel, stride);
  }

  // Activations of the first two registers are loaded twice: the second time from the L1 cache.
  static INLINE void add(const std::byte* first, const std::byte* third, const std::byte* w) {
    const std::byte* second = first + kAmxRows * kAmxRowBytes;
    _tile_loadd(7, w, kAmxRowBytes);
    _tile_loadd(6, first, kAmxRowBytes);
    _tile_dpbf16ps(0, 6, 7);
    _tile_loadd(6, second, kAmxRowBytes);
    _tile_dpbf16ps(2, 6, 7);
    _tile_loadd(6, third, kAmxRowBytes);
    _tile_dpbf16ps(4, 6, 7);
    _tile_loadd(7, w + kAmxPanelBytes, kAmxRowBytes);
    _tile_dpbf16ps(5, 6, 7);
    _tile_loadd(6, second, kAmxRowBytes);
    _tile_dpbf16ps(3, 6, 7);
    _tile_loadd(6, first, kAmxRowBytes);
    _tile_dpbf16ps(1, 6, 7);
  }
};

void amx_tall_weight_tile(const TileArgs& t) {
  configure(2 * kAmxRows);  // all registers have 16 rows
  AmxTallTile::load_sums(t);
  const auto* a = reinterpret_cast<const std::byte*>(t.a);
  const int64_t third = AmxTallTile::last(t) * kAmxRowBytes, block_bytes = int64_t{t.m} * kAmxRowBytes;
  const std::byte* w = t.w[0] + t.offset;
  Prefetches prefetches(t, w);
  for (int64_t k = 0; k < t.blocks; ++k) {
    prefetches.before_block(t, k);
    AmxTallTile::add(a, a + third, w);
    a += block_bytes;
    w += kAmxBlockBytes;
  }
  AmxTallTile::store_sums(t);
}

void amx_weight_tile(const TileArgs& t) {
  if (t.m > 2 * kAmxRows) {
    amx_tall_weight_tile(t);
  } else if (t.m > kAmxRows) {
    amx_weight_rows<true>(t);
  } else {
    amx_weight_rows<false>(t);
  }
}

// The steps of the KV cache, 16 at a time.
class CacheSteps {
 public:
  explicit INLINE CacheSteps(const TileArgs& t) : t_(t) {}

  // The panels of steps [step, step + 16), in place or copied.
  INLINE void panels(int64_t step, const std::byte** w0, const std::byte** w1) {
    const int64_t left = t_.blocks - step, segment = step / t_.segment_blocks, within = step % t_.segment_blocks;
    const std::byte* at = t_.w[segment] + t_.offset + within * kAmxRowBytes;
    if (left >= kAmxSteps && within + kAmxSteps <= t_.segment_blocks) {
      *w0 = at;
      *w1 = at + t_.second;
      return;
    }
    for (int64_t i = 0; i < kAmxSteps; ++i) {
      const int64_t s = (step + i) / t_.segment_blocks;
      const bool is_there = i < left;
      const std::byte* from = is_there ? t_.w[s] + t_.offset + (step + i) % t_.segment_blocks * kAmxRowBytes : zeros_;
      copy(i, from, is_there ? from + t_.second : zeros_);
    }
    write_memory();
    *w0 = copy_[0];
    *w1 = copy_[1];
  }

 private:
  INLINE void copy(int64_t row, const std::byte* first, const std::byte* second) {
    _mm512_store_si512(copy_[0] + row * kAmxRowBytes, _mm512_loadu_si512(first));
    _mm512_store_si512(copy_[1] + row * kAmxRowBytes, _mm512_loadu_si512(second));
  }

  const TileArgs& t_;
  alignas(64) std::byte copy_[2][kAmxPanelBytes];
  alignas(64) std::byte zeros_[kAmxRowBytes] = {};
};

template <bool kTwo, bool kPacked>
void amx_cache_rows(const TileArgs& t) {
  configure(t.m);
  AmxTile<kTwo>::load_sums(t);
  Activations a{reinterpret_cast<const std::byte*>(t.a), kAmxRowBytes, int64_t{t.m} * kAmxRowBytes};
  if constexpr (!kPacked) a = {a.at, kProbStride * 4, kAmxRowBytes};
  CacheSteps steps(t);
  const std::byte* next = t.ahead > 0 ? t.next : nullptr;
  for (int64_t step = 0; step < t.blocks; step += kAmxSteps) {
    const std::byte *w0, *w1;
    steps.panels(step, &w0, &w1);
    if (next != nullptr) {
      prefetch_lines(next + step * kAmxRowBytes, kAmxSteps);
      prefetch_lines(next + t.next_second + step * kAmxRowBytes, kAmxSteps);
    }
    AmxTile<kTwo>::add(a, w0, w1);
    a.at += a.block_bytes;
  }
  AmxTile<kTwo>::store_sums(t);
}

template <bool kPacked>
void amx_cache_tile(const TileArgs& t) {
  if (t.m > kAmxRows) {
    amx_cache_rows<true, kPacked>(t);
  } else {
    amx_cache_rows<false, kPacked>(t);
  }
}

// [2 panels][16 steps][16 outputs][2 inputs]: where a step of an output lies.
INLINE int64_t amx_offset(int64_t step, int lane) {
  return step / kAmxSteps * kAmxBlockBytes + lane / kPanel * kAmxPanelBytes + step % kAmxSteps * kAmxRowBytes +
         lane % kPanel * 4;
}

void amx_scatter(const std::byte* row, int64_t n, int lane, std::byte* block) {
  const int64_t steps = (n + 1) / 2, whole = (steps + kAmxSteps - 1) / kAmxSteps * kAmxSteps;
  for (int64_t k = 0; k < whole; ++k) {
    uint32_t word = 0;
    if (k < steps) __builtin_memcpy(&word, row + k * 4, 2 * k + 1 < n ? 4 : 2);
    __builtin_memcpy(block + amx_offset(k, lane), &word, 4);
  }
}

void amx_gather(const std::byte* block, int64_t n, int lane, std::byte* row) {
  for (int64_t k = 0; 2 * k < n; ++k) {
    __builtin_memcpy(row + k * 4, block + amx_offset(k, lane), 2 * k + 1 < n ? 4 : 2);
  }
}

WeightKernels amx_kernels_of(TileFn tile) {
  WeightKernels k;
  k.format = quant::find_format(Bf16Weights::kFormat);
  k.pairs = true;
  k.rows_max = 2 * kAmxRows;
  k.pack_steps = kAmxSteps;
  for (int m = 1; m <= k.rows_max; ++m) k.tiles[m] = tile;
  return k;
}

WeightKernels amx_weight_kernels() {
  WeightKernels k = amx_kernels_of(amx_weight_tile);
  k.rows_max = AmxTallTile::kRows;
  for (int m = 2 * kAmxRows + 1; m <= k.rows_max; ++m) k.tiles[m] = amx_weight_tile;
  k.block_steps = kAmxSteps;
  k.block_bytes = kAmxBlockBytes;
  k.run_steps = kAmxRunSteps;
  k.scatter = amx_scatter;
  k.gather = amx_gather;
  return k;
}

WeightKernels amx_cache_kernels() {
  WeightKernels k = amx_kernels_of(amx_cache_tile<true>);
  for (int m = 1; m <= k.rows_max; ++m) k.prob_tiles[m] = amx_cache_tile<false>;
  return k;
}

// For the machine's limits: four registers of sums, nothing loaded.
double multiply_tiles(int64_t rounds) {
  configure(2 * kAmxRows);
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  _tile_zero(4);
  _tile_zero(5);
  _tile_zero(6);
  _tile_zero(7);
  for (int64_t i = 0; i < rounds; ++i) {
    _tile_dpbf16ps(0, 4, 6);
    _tile_dpbf16ps(1, 4, 7);
    _tile_dpbf16ps(2, 5, 6);
    _tile_dpbf16ps(3, 5, 7);
  }
  return static_cast<double>(rounds) * 4 * kAmxRows * kPanel * 2 * kAmxSteps * 2;
}

}  // namespace
}  // namespace polymath::backend::cpu
