#pragma once

// How a weight is packed, and the functions that unpack and pack it.
//
// A format is a row of data and two functions. Other files name only the three plain ones below. A backend without a
// kernel for a format unpacks the weight at load (Backend::kept_format).
//
// A block is block_rows x block_cols values that share parameters: scales, zero points. Each row of a block has
// block_bytes of packed values. Its parameters are in those bytes (Q8_0), or in tensors of their own (FP8 128x128,
// AWQ). Such a tensor has one value a block (ParamSpec).

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "tensor/tensor.h"

namespace polymath::quant {

// A tensor of parameters, [blocks down, blocks across].
struct ParamSpec {
  tensor::DType dtype = tensor::DType::kCount;  // kCount: the format has no such tensor
  bool transposed = false;                      // stored as [blocks across, blocks down]

  bool present() const { return dtype != tensor::DType::kCount; }
};

// One row of a packed matrix, from its first column.
struct PackedRow {
  const std::byte* data = nullptr;
  const std::byte* scales = nullptr;  // of the row's first block; null: the format has none
  const std::byte* zeros = nullptr;   // likewise
  int64_t param_step = 1;             // parameters from one block of the row to the next
};

struct QuantFormat {
  std::string_view name;    // as a checkpoint spells it: "bfloat16", "q8_0", "fp8_block128"
  tensor::DType dtype;      // of a plain format's elements; kU8: packed
  int block_rows = 1;       // output features that share a block's parameters
  int block_cols = 1;       // input features that share them
  int block_bytes = 0;      // packed bytes of one row of a block
  ParamSpec scales, zeros;  // transposed alike

  // Unpacks columns [col, col + n) of a row. REQUIRES: col and n are multiples of block_cols.
  void (*dequantize)(const PackedRow& row, int64_t col, float* dst, int64_t n);
  // Packs n values of a row from its first column. Null: the format can be loaded, not produced.
  void (*quantize)(const float* src, std::byte* dst, int64_t n);
  // A larger format that holds the same values, and what writes n of them from the first column. Null: none does.
  // Values stay the same where a block's scale is 2^-11 or more. Of a smaller one, f16 may lack the last bits.
  const QuantFormat* wider = nullptr;
  void (*widen)(const std::byte* src, std::byte* dst, int64_t n) = nullptr;

  bool plain() const { return dtype != tensor::DType::kU8; }
  bool params() const { return scales.present() || zeros.present(); }  // in tensors of their own
  int64_t bytes_of(int64_t n) const { return n / block_cols * block_bytes; }
};

extern const QuantFormat kF32;
extern const QuantFormat kF16;
extern const QuantFormat kBf16;
extern const QuantFormat kF64;  // in files alone: no backend keeps it

// Every format of this build, in the order of quant/formats/list.cpp.
std::span<const QuantFormat* const> quant_formats();
// Null: no such format.
const QuantFormat* find_format(std::string_view name);
// Null: no weight is stored in this type (integers).
const QuantFormat* find_plain_format(tensor::DType dtype);
const QuantFormat& plain_format(tensor::DType dtype);  // REQUIRES: f32, f16 or bf16

// A matrix in a file or memory, seen through strides. They describe transposed, stacked and interleaved storage alike.
// Element (r, c) is at data + (r * row_stride + c * col_stride) elements. A packed format needs col_stride 1 and whole
// blocks in row_stride.
struct MatrixView {
  const QuantFormat* format = nullptr;
  const std::byte* data = nullptr;
  int64_t rows = 0;  // output features
  int64_t cols = 0;  // input features
  int64_t row_stride = 0;
  int64_t col_stride = 1;
  const std::byte* scales = nullptr;  // of the first block; null: the format has none
  const std::byte* zeros = nullptr;   // likewise
  int64_t param_stride = 0;           // parameters from one row of the parameters' tensor to the next

  // REQUIRES: col_stride 1.
  PackedRow row(int64_t r) const;
  // Columns [begin, begin + n) of row r as floats. REQUIRES: begin, n multiples of block_cols.
  void read_row(int64_t r, int64_t begin, int64_t n, float* out) const;
};

}  // namespace polymath::quant
