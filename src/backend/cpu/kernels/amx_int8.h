#pragma once

// The tile of a GEMM of packed weights and int8 activations on AMX (see packed.h and amx_tile.h).
//
// A run's weights are unpacked first: codes as signed bytes, scales as f32. A multiplication adds [16 rows][32 inputs]
// times [32 inputs][16 outputs]. Formats with a scale every 16 inputs take half of that. Each block of 32 inputs has
// scales of its own, so its sums leave the tile register at once. Vectors scale them and add them to f32 sums.
//
// Rounding and order are those of int8_tile(), so a row's result is the same whatever the number of rows.
// Source: Intel 64 and IA-32 Architectures Software Developer's Manual, volume 2, TDPBSSD.

#include "backend/cpu/kernels/amx_tile.h"
#include "backend/cpu/kernels/formats/list.h"

namespace polymath::backend::cpu {
namespace {

constexpr int kInt8RunBlocks = 16;  // of 32 inputs; a run's codes and 16 rows fit the L1 cache
constexpr int kInt8AmxRows = 12;    // fewer rows are faster without tiles
constexpr int kInt8RowBytes = kInt8Words * 4;

// A panel's 32 inputs, unpacked: [8 quads][16 outputs][4 inputs].
template <typename W>
struct alignas(64) UnpackedPart {
  U32 codes[kPartQuads];
  PartScales<W> scales;
};

template <typename W>
struct UnpackedRun {
  UnpackedPart<W> parts[kTileVectors][kInt8RunBlocks];
};

// A vector of outputs of one block of weights.
template <typename W>
INLINE void unpack_block(const At& at, UnpackedPart<W>* out) {
  const __m512i zero = _mm512_set1_epi8(W::kZero);
  const typename W::Block block(at);
  for (int part = 0; part < W::kInputs / kPart; ++part) {
    U32 quads[kPartQuads];
    W::quads(at, part, quads);
#pragma GCC unroll 8
    for (int q = 0; q < kPartQuads; ++q) {
      out[part].codes[q] = reinterpret_cast<U32>(_mm512_sub_epi8(reinterpret_cast<__m512i>(quads[q]), zero));
    }
    out[part].scales = PartScales<W>(block, at, part);
  }
}

template <typename W>
INLINE void unpack_run(const TileArgs& t, UnpackedRun<W>& run) {
  const std::byte* w = t.w[0] + t.offset;
  for (int64_t k = 0; k < t.blocks; ++k, w += PackedLayout<W>::kBlockBytes) {
    for (int v = 0; v < kTileVectors; ++v) unpack_block<W>(At{w, v}, run.parts[v] + k * (W::kInputs / kPart));
  }
  write_memory();
}

// Registers 0 to 3 are sums, 4 and 5 activations, 6 and 7 weights.
template <typename W>
INLINE void configure_int8(int rows) {
  constexpr int kCount = PartScales<W>::kCount;
  const int wanted = 1000 * kCount + rows;
  if (configured_rows == wanted) return;
  configured_rows = wanted;
  TileConfig config;
  for (int i = 0; i < 8; ++i) {
    config.row_bytes[i] = static_cast<uint16_t>(i == 4 || i == 5 ? kPart / kCount : kAmxRowBytes);
    config.rows[i] = static_cast<uint8_t>(i < 6 ? rows : kPartQuads / kCount);
  }
  write_memory();
  _tile_loadconfig(&config);
}

// Rows 64 bytes apart. GCC's own functions take no template parameter for a register.
template <int kRegister>
INLINE void load_register(const void* at) {
  __asm__ volatile("tileloadd (%0,%1,1), %%tmm%c2" ::"r"(at), "r"(int64_t{kAmxRowBytes}), "i"(kRegister));
}
template <int kRegister>
INLINE void store_register(void* at) {
  __asm__ volatile("tilestored %%tmm%c2, (%0,%1,1)" ::"r"(at), "r"(int64_t{kAmxRowBytes}), "i"(kRegister) : "memory");
}
template <int kSums, int kInputs, int kWeights>
INLINE void multiply_registers() {
  __asm__ volatile("tilezero %%tmm%c0\n\ttdpbssd %%tmm%c2, %%tmm%c1, %%tmm%c0" ::"i"(kSums), "i"(kInputs),
                   "i"(kWeights));
}

// Dot products of up to 16 rows with a panel's 32 inputs.
template <typename W>
struct alignas(64) PartDots {
  I32 dots[PartScales<W>::kCount][kAmxRows];
};

// Every second part has registers of its own.
template <typename W, int kOdd>
INLINE void multiply_part(const std::byte* rows, const UnpackedPart<W>& part) {
  load_register<6 + kOdd>(part.codes);
  load_register<4 + kOdd>(rows);
  multiply_registers<kOdd, 4 + kOdd, 6 + kOdd>();
  if constexpr (PartScales<W>::kCount == 2) {
    load_register<6 + kOdd>(part.codes + kPartQuads / 2);
    load_register<4 + kOdd>(rows + kPart / 2);
    multiply_registers<2 + kOdd, 4 + kOdd, 6 + kOdd>();
  }
}
template <typename W, int kOdd>
INLINE void store_part(PartDots<W>& out) {
  store_register<kOdd>(out.dots[0]);
  if constexpr (PartScales<W>::kCount == 2) store_register<2 + kOdd>(out.dots[1]);
}

template <typename W>
INLINE void add_part_dots(const PartDots<W>& dots, const PartScales<W>& scales, const std::byte* rows, int n,
                          F32* acc) {
#pragma GCC unroll 16
  for (int r = 0; r < n; ++r) {
    const auto* row = reinterpret_cast<const uint32_t*>(rows + r * kInt8RowBytes);
#pragma GCC unroll 2
    for (int i = 0; i < PartScales<W>::kCount; ++i) acc[r] = add_scaled_dot<W>(acc[r], dots.dots[i][r], scales, i, row);
  }
}

// What a tile prefetches meanwhile, in equal pieces.
struct NextRun {
  const std::byte* at;
  int64_t lines_left;
  int64_t lines;  // a piece

  INLINE void fetch() {
    const int64_t n = lines < lines_left ? lines : lines_left;
    for (int64_t i = 0; i < n; ++i) __builtin_prefetch(at + i * kAmxRowBytes, 0, 2);
    at += n * kAmxRowBytes;
    lines_left -= n;
  }
};

// What the loop over parts reads. Passed by value: what a tile's store may change is read from memory again.
template <typename W>
struct RowParts {
  const UnpackedPart<W>* parts;
  const std::byte* rows;
  int64_t part_bytes, n_parts;

  template <int kOdd>
  INLINE void multiply(int64_t k) const {
    if (k < n_parts) multiply_part<W, kOdd>(rows + k * part_bytes, parts[k]);
  }
};

constexpr int kInt8Buffers = 4;

// Part k is stored, part k + 2 multiplied and part k - 1 scaled. So no instruction waits for the one before it.
template <typename W, int kOdd>
INLINE void step_parts(RowParts<W> p, int64_t k, int n, PartDots<W>* dots, F32* acc) {
  if (k < p.n_parts) store_part<W, kOdd>(dots[k % kInt8Buffers]);
  p.template multiply<kOdd>(k + 2);
  if (k == 0 || k > p.n_parts) return;
  add_part_dots<W>(dots[(k - 1) % kInt8Buffers], p.parts[k - 1].scales, p.rows + (k - 1) * p.part_bytes, n, acc);
}

// Adds n rows and one panel to out; n is 16 if kWhole.
template <typename W, bool kWhole>
INLINE void add_rows(const RowParts<W>& p, int n, const TileArgs& t, float* out, NextRun& next) {
  const int64_t stride = t.acc_stride;
  F32 acc[kAmxRows] = {};
  if constexpr (kWhole) n = kAmxRows;
#pragma GCC unroll 16
  for (int r = 0; r < n && t.accumulate; ++r) acc[r] = load_as<F32>(out + r * stride);
  PartDots<W> dots[kInt8Buffers];
  NextRun fetched = next;
  p.template multiply<0>(0);
  p.template multiply<1>(1);
  for (int64_t k = 0; k <= p.n_parts; k += 2) {
    fetched.fetch();
    step_parts<W, 0>(p, k, n, dots, acc);
    step_parts<W, 1>(p, k + 1, n, dots, acc);
  }
  next = fetched;
#pragma GCC unroll 16
  for (int r = 0; r < n; ++r) store_as(out + r * stride, acc[r]);
}

template <typename W>
void amx_int8_tile(const TileArgs& t) {
  UnpackedRun<W> run;
  unpack_run<W>(t, run);
  const int64_t n_parts = t.blocks * (W::kInputs / kPart), row_bytes = int64_t{t.m} * kInt8RowBytes;
  const int64_t next_bytes = t.next == nullptr ? 0 : (t.cached ? t.ahead : t.blocks) * t.block_bytes;
  const int64_t lines = (next_bytes + kAmxRowBytes - 1) / kAmxRowBytes;
  const int64_t pieces = 2 * ((t.m + kAmxRows - 1) / kAmxRows) * (n_parts / 2 + 1);
  NextRun next{t.next, lines, (lines + pieces - 1) / pieces};
  for (int first = 0; first < t.m; first += kAmxRows) {
    const int n = t.m - first < kAmxRows ? t.m - first : kAmxRows;
    configure_int8<W>(n);
    const std::byte* rows = reinterpret_cast<const std::byte*>(t.a) + first * kInt8RowBytes;
    for (int v = 0; v < kTileVectors; ++v) {
      const RowParts<W> p{run.parts[v], rows, row_bytes, n_parts};
      float* out = t.acc + first * t.acc_stride + v * kLanes;
      if (n == kAmxRows) {
        add_rows<W, true>(p, n, t, out, next);
      } else {
        add_rows<W, false>(p, n, t, out, next);
      }
    }
  }
}

// For activations of bf16: tiles of many rows on AMX.
template <typename W>
WeightKernels amx_int8_kernels() {
  WeightKernels k = int8_kernels<W>();
  if constexpr (requires { W::kFloats; }) return k;
  k.rows_max = kRowsMax;
  k.run_steps = kInt8RunBlocks * kInt8Words;
  for (int m = kInt8AmxRows; m <= kRowsMax; ++m) k.tiles[m] = amx_int8_tile<W>;
  return k;
}

template <typename... W>
std::span<const WeightKernels> amx_int8_formats(PackedFormats<W...>) {
  static const WeightKernels table[] = {amx_int8_kernels<W>()...};
  return table;
}

}  // namespace
}  // namespace polymath::backend::cpu
