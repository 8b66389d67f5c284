#pragma once

// Dummy weights. A value is computed from its place and stored nowhere. So a device makes its own weights, the same on
// every backend.
//
// Element i uses lane i % 4, 16 bits, of the word mix_word(key + (i / 4 + 1) * kWeyl). The lane's upper 12 bits index
// `quantiles`. The value is that quantile times `scale`, rounded to `stored`.
//
// Source: Steele, Lea, Flood, "Fast Splittable Pseudorandom Number Generators", OOPSLA 2014 (the mixer).

#include <cstddef>
#include <cstdint>

namespace polymath::quant {

struct QuantFormat;

constexpr int kQuantileBits = 12;
constexpr size_t kQuantiles = size_t{1} << kQuantileBits;
constexpr int kElementsPerWord = 4;
constexpr int kLaneBits = 16;
constexpr uint64_t kWeyl = 0x9e3779b97f4a7c15u;

// How a tensor's values are made.
struct Generator {
  uint64_t key = 0;
  const float* quantiles = nullptr;  // [kQuantiles], host memory; lives as long as the program
  float scale = 1;
  const QuantFormat* stored = nullptr;  // a plain one
};

// Element (r, c) is the tensor's element offset + r * row_stride + c * col_stride.
struct GeneratedMatrix {
  Generator generator;
  int64_t offset = 0;
  int64_t rows = 0, cols = 0;
  int64_t row_stride = 0, col_stride = 1;
};

constexpr uint64_t mix_word(uint64_t z) {
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

// Which quantile element i is.
constexpr uint32_t quantile_of(uint64_t key, int64_t i) {
  const uint64_t word = mix_word(key + (static_cast<uint64_t>(i) / kElementsPerWord + 1) * kWeyl);
  const int shift = kLaneBits - kQuantileBits + static_cast<int>(i % kElementsPerWord) * kLaneBits;
  return static_cast<uint32_t>(word >> shift) & static_cast<uint32_t>(kQuantiles - 1);
}

}  // namespace polymath::quant
