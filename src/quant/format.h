#pragma once

// How a block of weights is packed, and the function that unpacks it.
//
// A format is a row of data and two reference functions, nothing more. No other file names a format but
// the three plain ones below. A backend that has no kernel for a format unpacks the weight with
// `dequantize` as it is loaded: larger, said in the log, and right on the first day.

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "tensor/tensor.h"

namespace polymath::quant {

struct QuantFormat {
  std::string_view name;  // as a checkpoint spells it: "bfloat16", "fp8_block128", "q4_k"
  int block_cols;         // input features that share one block
  int block_bytes;        // packed bytes of one block
  tensor::DType dtype;    // of a plain format's elements; kU8: packed

  // Unpacks `n` values of one weight row. REQUIRES: n % block_cols == 0.
  void (*dequantize)(const std::byte* src, float* dst, int64_t n);
  // Packs `n` values of one weight row. Null: can be loaded, cannot be produced.
  void (*quantize)(const float* src, std::byte* dst, int64_t n);
};

extern const QuantFormat kF32;
extern const QuantFormat kF16;
extern const QuantFormat kBf16;

// Every format this build knows, in the order of quant/formats/list.cpp.
std::span<const QuantFormat* const> quant_formats();
// Null: no such format.
const QuantFormat* find_format(std::string_view name);
const QuantFormat& plain_format(tensor::DType dtype);  // REQUIRES: f32, f16 or bf16

// A matrix in a file or in memory, seen through strides, so that transposed, stacked and interleaved
// storage are one thing: element (r, c) stands at data + (r * row_stride + c * col_stride) elements.
// A packed format needs col_stride == 1.
struct MatrixView {
  const QuantFormat* format = nullptr;
  const std::byte* data = nullptr;
  int64_t rows = 0;  // output features
  int64_t cols = 0;  // input features
  int64_t row_stride = 0;
  int64_t col_stride = 1;

  // Columns [begin, begin + n) of row r as floats. REQUIRES: begin, n multiples of block_cols.
  void read_row(int64_t r, int64_t begin, int64_t n, float* out) const;
};

}  // namespace polymath::quant
