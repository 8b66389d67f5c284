#pragma once

// Fills a Kernels table with the loops, compiled for the including file's instruction set.

#include "backend/cpu/kernels/byte_floats.h"
#include "backend/cpu/kernels/formats/list.h"
#include "backend/cpu/kernels/int8_rows.h"
#include "backend/cpu/kernels/kernels.h"
#include "backend/cpu/kernels/rows.h"
#include "backend/cpu/kernels/tile.h"
#include "backend/cpu/kernels/vec.h"

namespace polymath::backend::cpu {
namespace {

// For the machine's limits: nothing but loads and XOR. Two streams read more than one.
double read(const std::byte* data, size_t bytes) {
  constexpr int kStream = 256, kVectors = kStream / (kLanes * 4), kAhead = 4096;
  const size_t half = bytes / 2;
  U32 sums[2][kVectors] = {};
  for (size_t at = 0; at < half; at += kStream) {
    for (int stream = 0; stream < 2; ++stream) {
      const std::byte* from = data + stream * half + at;
      for (int line = 0; line < kStream; line += 64) __builtin_prefetch(from + kAhead + line, 0, 2);
#pragma GCC unroll 16
      for (int i = 0; i < kVectors; ++i) sums[stream][i] ^= load_as<U32>(from + i * kLanes * 4);
    }
  }
  U32 all = {};
  for (int i = 0; i < kVectors; ++i) all ^= sums[0][i] ^ sums[1][i];
  return all[0];
}

template <typename W>
double multiply_tile(int64_t rounds) {
  constexpr int kRows = kTileRowsMax, kVectors = 2;
  std::byte weights[kVectors * 64] = {};
  uint32_t word = 0;
  F32 acc[kRows][kVectors];
  for (int r = 0; r < kRows; ++r) {
    for (int v = 0; v < kVectors; ++v) acc[r][v] = splat(static_cast<float>(r * kVectors + v));  // no two alike
  }
  const auto w0 = W::load(weights), w1 = W::load(weights + 64);
  for (int64_t i = 0; i < rounds; ++i) {
    __asm__ volatile("" : "+r"(word));  // may have changed: no round can be left out
    const auto x = W::broadcast(word);
#pragma GCC unroll 12
    for (int r = 0; r < kRows; ++r) {
      acc[r][0] = W::add(acc[r][0], w0, x);
      acc[r][1] = W::add(acc[r][1], w1, x);
    }
  }
  F32 total = {};
  for (auto& row : acc) total += row[0] + row[1];
  volatile float sink = sum_lanes(total);
  static_cast<void>(sink);
  const int inputs = __is_same(W, Bf16Weights) ? 2 : 1;
  return static_cast<double>(rounds) * kRows * kVectors * kLanes * 2 * inputs;
}

double multiply(DType dtype, int64_t rounds) {
  return dtype == DType::kBf16 ? multiply_tile<Bf16Weights>(rounds) : multiply_tile<F32Weights>(rounds);
}

// The plain formats. Weights in packed formats without kernels are unpacked to one of them at load.
std::span<const WeightKernels> weight_table() {
  static const WeightKernels table[] = {
      weight_kernels<F32Weights, PlainLayout<F32Weights>>(),
      weight_kernels<F16Weights, PlainLayout<F16Weights>>(),
      weight_kernels<Bf16Weights, PlainLayout<Bf16Weights>>(),
  };
  return table;
}

Kernels make_table(std::string_view isa) {
  Kernels k{};
  k.isa = isa;
  k.weights = k.caches = weight_table();
  k.packed = KeptFormats::exact();
  k.packed_int8 = KeptFormats::int8();
  k.pack = pack;
  k.store = store;
  k.glu_tile = glu_tile;
  k.add = add;
  k.softmax = softmax;
  k.unpack_kv = unpack_kv;
  k.norm = norm;
  k.rope = rope;
  k.glu = glu;
  k.scale = scale;
  k.add_scaled = add_scaled;
  k.read = read;
  k.multiply = multiply;
  return k;
}

}  // namespace
}  // namespace polymath::backend::cpu
