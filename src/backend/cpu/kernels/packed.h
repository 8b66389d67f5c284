#pragma once

// Tiles of packed weights. A format is a type like this (formats/):
//
//   kFormat, kInputs, kFileBytes  its name in quant/, and one output's block there
//   kFields                       a block's fields. In a tile, each unit of a field lies beside the other outputs' ones
//   kScaleInputs                  inputs that share a scale: 16 or 32
//   kSigned, kZero                value = scale * (code - kZero) [- minimum]; codes are bytes
//   kSums                         sums of two codes times activations that fit 16 bits together: 1, 2 or 4
//   Block                         the scales of one vector of outputs, loaded once a block
//   scale(block, at, i)           of the i-th kScaleInputs; minimum() likewise, where kMinimum
//   quads(at, part, out)          the codes of 32 inputs: out[q] has inputs 4q to 4q + 3 in its lanes' bytes
//   kFloats, value(quad, j)       where codes are floats: what byte j of each lane stands for
//
// With f32 activations, weights are unpacked to f32 in registers. Results equal those of the unpacked weights bit for
// bit. Activations of bf16 are rounded to int8 in blocks of 32 (int8_rows.h), and dot products are of integers. Where
// codes are floats, activations of bf16 become f32.

#include "backend/cpu/kernels/dot.h"
#include "backend/cpu/kernels/tile.h"

namespace polymath::backend::cpu {
namespace {

constexpr int kPart = 32;  // inputs of a block of int8 activations
constexpr int kPartQuads = kPart / 4;
constexpr int64_t kAheadBytesPacked = 2048;

// A vector of outputs within a block of a tile.
struct At {
  const std::byte* block;
  int v;

  INLINE const std::byte* unit(int64_t offset, int bytes, int i) const {
    return block + offset * kTile + (static_cast<int64_t>(i) * kTile + v * kLanes) * bytes;
  }
  INLINE U32 word(int offset, int i) const { return load_as<U32>(unit(offset, 4, i)); }
  INLINE I32 byte(int offset, int i) const { return widen_bytes(unit(offset, 1, i)); }
  INLINE F32 half(int offset) const { return F16Weights::load(unit(offset, 2, 0)); }
};

// `count` units of `bytes` bytes, from byte `at` of an output's block in a file. A tile has the fields in their order.
struct Field {
  int at, bytes, count;
};

template <typename W>
struct PackedLayout {
  static constexpr int kBlockBytes = kTile * W::kFileBytes;

  template <typename F>
  static void for_units(F copy) {
    int64_t offset = 0;
    for (const Field& field : W::kFields) {
      for (int i = 0; i < field.count; ++i) {
        copy(field.at + i * field.bytes, offset * kTile + static_cast<int64_t>(i) * kTile * field.bytes, field.bytes);
      }
      offset += field.bytes * field.count;
    }
  }
  static void scatter(const std::byte* row, int64_t n, int lane, std::byte* block) {
    for (int64_t i = 0; i < n; i += W::kInputs, row += W::kFileBytes, block += kBlockBytes) {
      for_units([&](int at, int64_t to, int bytes) { __builtin_memcpy(block + to + lane * bytes, row + at, bytes); });
    }
  }
  static void gather(const std::byte* block, int64_t n, int lane, std::byte* row) {
    for (int64_t i = 0; i < n; i += W::kInputs, row += W::kFileBytes, block += kBlockBytes) {
      for_units(
          [&](int at, int64_t from, int bytes) { __builtin_memcpy(row + at, block + from + lane * bytes, bytes); });
    }
  }
};

// Scales of 32 inputs for one vector of outputs.
template <typename W>
struct PartScales {
  static constexpr int kCount = kPart / W::kScaleInputs;
  F32 scale[kCount], minimum[kCount];

  INLINE PartScales() = default;
  INLINE PartScales(const typename W::Block& block, const At& at, int part) {
#pragma GCC unroll 2
    for (int i = 0; i < kCount; ++i) {
      scale[i] = W::scale(block, at, part * kCount + i);
      if constexpr (W::kMinimum) minimum[i] = W::minimum(block, at, part * kCount + i);
    }
  }
};

// --- f32 activations ---

// What byte j of a quad stands for, but for its scale.
template <typename W>
INLINE F32 value_of_code(U32 quad, int j) {
  if constexpr (requires { W::kFloats; }) {
    return W::value(quad, j);
  } else {
    return to_floats(byte_of<W::kSigned>(quad, j) - W::kZero);
  }
}

template <typename W, int M, int N>
struct ExactTile {
  F32 acc[M][N];

  INLINE void add_part(const At* at, const typename W::Block* blocks, int part, const uint32_t* a) {
    PartScales<W> scales[N];
    U32 quads[N][kPartQuads];
#pragma GCC unroll 4
    for (int v = 0; v < N; ++v) {
      scales[v] = PartScales<W>(blocks[v], at[v], part);
      W::quads(at[v], part, quads[v]);
    }
    for (int q = 0; q < kPartQuads; ++q) add_quad(scales, quads, q, a + q * 4 * M);
  }

  // Four inputs, unrolled: so their bytes are moved by constant shifts.
  INLINE void add_quad(const PartScales<W>* scales, const U32 (*quads)[kPartQuads], int q, const uint32_t* a) {
    const int s = q * 4 / W::kScaleInputs;
#pragma GCC unroll 4
    for (int j = 0; j < 4; ++j) {
      F32 value[N];
#pragma GCC unroll 4
      for (int v = 0; v < N; ++v) {
        value[v] = scales[v].scale[s] * value_of_code<W>(quads[v][q], j);
        if constexpr (W::kMinimum) value[v] = rounded(value[v]) - scales[v].minimum[s];
      }
      add_values(value, a + j * M);
    }
  }

  // One input of each row.
  INLINE void add_values(const F32* value, const uint32_t* a) {
#pragma GCC unroll 12
    for (int r = 0; r < M; ++r) {
      const F32 x = floats(splat_bits(a[r]));
#pragma GCC unroll 4
      for (int v = 0; v < N; ++v) acc[r][v] = acc[r][v] + value[v] * x;
    }
  }

  INLINE void operator()(const TileArgs& t, int begin) {
#pragma GCC unroll 12
    for (int r = 0; r < M; ++r) {
#pragma GCC unroll 4
      for (int v = 0; v < N; ++v) {
        acc[r][v] = t.accumulate ? load_as<F32>(t.acc + r * t.acc_stride + (begin + v) * kLanes) : F32{};
      }
    }
    const std::byte* w = t.w[0] + t.offset;
    const uint32_t* a = t.a;
    for (int64_t k = 0; k < t.blocks; ++k, w += PackedLayout<W>::kBlockBytes) {
      for (int line = 0; line < PackedLayout<W>::kBlockBytes; line += 64) {
        __builtin_prefetch(w + kAheadBytesPacked + line, 0, 2);
      }
      At at[N];
      typename W::Block blocks[N];
      for (int v = 0; v < N; ++v) at[v] = {w, begin + v}, blocks[v] = typename W::Block(at[v]);
      for (int part = 0; part < W::kInputs / kPart; ++part, a += kPart * M) add_part(at, blocks, part, a);
    }
#pragma GCC unroll 12
    for (int r = 0; r < M; ++r) {
#pragma GCC unroll 4
      for (int v = 0; v < N; ++v) store_as(t.acc + r * t.acc_stride + (begin + v) * kLanes, acc[r][v]);
    }
  }
};

template <typename W, int M>
void exact_tile(const TileArgs& t) {
  constexpr int kVectors = kLanes == 16 ? 2 : (M <= 3 ? 4 : 2);
  for (int begin = 0; begin < kTileVectors; begin += kVectors) {
    ExactTile<W, M, kVectors> loop;
    loop(t, begin);
  }
}

// Fewer than registers hold. It is not the fast path, and each number of rows is compiled for each format.
constexpr int kExactRows = kTileRowsMax < 4 ? kTileRowsMax : 4;

template <typename W, int M = kExactRows>
void fill_exact_tiles(TileFn* tiles) {
  tiles[M] = exact_tile<W, M>;
  if constexpr (M > 1) fill_exact_tiles<W, M - 1>(tiles);
}

// --- int8 activations ---

// acc + the i-th dot product of a row's block of 32. Every kernel adds it so, and rounds alike.
template <typename W>
INLINE F32 add_scaled_dot(F32 acc, I32 dot, const PartScales<W>& scales, int i, const uint32_t* row) {
  const F32 scale = rounded(scales.scale[i] * floats(splat_bits(row[kInt8Scale])));
  acc = acc + scale * to_floats(dot);
  if constexpr (W::kMinimum) acc = acc - floats(splat_bits(row[kInt8Whole])) * scales.minimum[i];
  return acc;
}

// acc + the dot products of a vector of outputs with one row's block of 32.
template <typename W>
INLINE F32 add_block(F32 acc, const U32* codes, const PartScales<W>& scales, const uint32_t* row) {
  constexpr int kCount = PartScales<W>::kCount, kQuads = kPartQuads / kCount;
  constexpr int kZero = W::kZero + (W::kSigned ? kSignedZero : 0);
  static_assert(!W::kMinimum || kCount == 1);
#pragma GCC unroll 2
  for (int i = 0; i < kCount; ++i) {
    const int sum = kCount == 2 ? static_cast<int>(row[kInt8Sums + i])
                                : static_cast<int>(row[kInt8Sums]) + static_cast<int>(row[kInt8Sums + 1]);
    I32 dot = splat_int(-kZero * sum);
    dot = add_dots<W::kSigned, W::kSums>(dot, codes + i * kQuads, row + i * kQuads, kQuads);
    acc = add_scaled_dot(acc, dot, scales, i, row);
  }
  return acc;
}

// 32 inputs of a block of a tile.
template <typename W>
struct Part {
  const std::byte* block;
  const typename W::Block* scales;  // of the tile's vectors
  int part;

  INLINE void load_codes(int v, U32* quads) const {
    W::quads(At{block, v}, part, quads);
#pragma GCC unroll 8
    for (int q = 0; q < kPartQuads; ++q) quads[q] = codes_of<W::kSigned>(quads[q]);
  }
  INLINE PartScales<W> load_scales(int v) const { return PartScales<W>(scales[v], At{block, v}, part); }
};

template <typename W>
INLINE void add_part_of_row(const Part<W>& part, const uint32_t* row, F32* acc) {
#pragma GCC unroll 8
  for (int v = 0; v < kTileVectors; ++v) {
    U32 codes[kPartQuads];
    part.load_codes(v, codes);
    acc[v] = add_block<W>(acc[v], codes, part.load_scales(v), row);
  }
}

// One vector of outputs after the other, so that its codes stay in registers.
template <typename W>
INLINE void add_part_of_rows(const Part<W>& part, int rows, const uint32_t* a, F32 (*acc)[kTileVectors]) {
  for (int v = 0; v < kTileVectors; ++v) {
    U32 codes[kPartQuads];
    part.load_codes(v, codes);
    const PartScales<W> scales = part.load_scales(v);
    for (int r = 0; r < rows; ++r) acc[r][v] = add_block<W>(acc[r][v], codes, scales, a + r * kInt8Words);
  }
}

constexpr int kInt8RowsMax = 32;  // more are cut into blocks

// A row's sums are one chain in the order of the inputs, whatever the number of rows.
template <typename W, bool kOneRow>
void int8_tile(const TileArgs& t) {
  F32 acc[kOneRow ? 1 : kInt8RowsMax][kTileVectors];
  const int rows = kOneRow ? 1 : t.m;
  for (int r = 0; r < rows; ++r) {
    for (int v = 0; v < kTileVectors; ++v) {
      acc[r][v] = t.accumulate ? load_as<F32>(t.acc + r * t.acc_stride + v * kLanes) : F32{};
    }
  }
  const std::byte* w = t.w[0] + t.offset;
  const uint32_t* a = t.a;
  constexpr int kParts = W::kInputs / kPart, kLines = PackedLayout<W>::kBlockBytes / kParts;
  for (int64_t k = 0; k < t.blocks; ++k, w += PackedLayout<W>::kBlockBytes) {
    typename W::Block blocks[kTileVectors];
    for (int v = 0; v < kTileVectors; ++v) blocks[v] = typename W::Block(At{w, v});
    // Fields of a large block are not read in the order of memory, so the whole next one is fetched.
    constexpr int64_t kAhead = kParts > 1 ? PackedLayout<W>::kBlockBytes : kAheadBytesPacked;
    const std::byte* ahead = k + 1 < t.blocks || t.next == nullptr ? w + kAhead : t.next;
    for (int part = 0; part < kParts; ++part, a += kInt8Words * rows, ahead += kLines) {
      for (int line = 0; line < kLines; line += 64) __builtin_prefetch(ahead + line, 0, 2);
      if constexpr (kOneRow) {
        add_part_of_row<W>({w, blocks, part}, a, acc[0]);
      } else {
        add_part_of_rows<W>({w, blocks, part}, rows, a, acc);
      }
    }
  }
  for (int r = 0; r < rows; ++r) {
    for (int v = 0; v < kTileVectors; ++v) store_as(t.acc + r * t.acc_stride + v * kLanes, acc[r][v]);
  }
}

template <typename W>
WeightKernels packed_layout() {
  WeightKernels k;
  k.format = quant::find_format(W::kFormat);
  k.block_bytes = PackedLayout<W>::kBlockBytes;
  k.scatter = PackedLayout<W>::scatter;
  k.gather = PackedLayout<W>::gather;
  return k;
}

template <typename W>
WeightKernels exact_kernels() {
  WeightKernels k = packed_layout<W>();
  k.rows_max = kExactRows;
  k.block_steps = W::kInputs;
  k.run_steps = kRunSteps;
  fill_exact_tiles<W>(k.tiles);
  return k;
}

// For activations of bf16.
template <typename W>
WeightKernels int8_kernels() {
  if constexpr (requires { W::kFloats; }) return exact_kernels<W>();
  WeightKernels k = packed_layout<W>();
  k.int8 = true;
  k.rows_max = kInt8RowsMax;
  k.pack_steps = kInt8Words;
  k.block_steps = W::kInputs / kPart * kInt8Words;
  k.run_steps = kRunSteps / kPart * kInt8Words;
  k.tiles[1] = int8_tile<W, true>;
  for (int m = 2; m <= kInt8RowsMax; ++m) k.tiles[m] = int8_tile<W, false>;
  return k;
}

}  // namespace
}  // namespace polymath::backend::cpu
