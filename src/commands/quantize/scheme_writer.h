#pragma once

// How a scheme of Hugging Face checkpoints stores a packed matrix. weights/schemes/ reads it.
//
//   fp8   E4M3 in blocks of 128x128 under f32 scales, as DeepSeek-V3 and Qwen3-FP8 are published:
//           X F8_E4M3 [rows, cols], X_scale_inv F32 [blocks down, blocks across]       value = code * scale
//   int4  symmetric groups of inputs, as compressed-tensors packs them (pack-quantized):
//           X_packed I32 [rows, cols / 8], X_scale BF16 or F16 [rows, groups], X_shape I64 [2]
//                                                                                      value = (code - 8) * scale
//
// Sources: config.json of deepseek-ai/DeepSeek-V3 and Qwen/Qwen3-30B-A3B-FP8; compressed-tensors' compressors.

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/status.h"
#include "weights/safetensors_writer.h"

namespace polymath::commands {

// A matrix of a linear layer, or a stack of equal ones (experts).
struct PlainMatrix {
  std::string name;  // of the tensor
  tensor::Shape shape;
  bool transposed = false;  // stored as inputs by outputs
  bool heads = false;       // of latent attention: from the latent to each head's keys and values

  int64_t cols() const { return shape[shape.rank() - 1]; }
  int64_t rows() const { return shape[shape.rank() - 2]; }  // of one matrix
  int64_t stack() const { return shape.elements() / (rows() * cols()); }
};

// What holds for the whole checkpoint.
struct SchemeOptions {
  int64_t group = 128;       // int4: inputs that share a scale
  bool half_scales = false;  // int4: f16 instead of bf16
};

// Neighbouring rows of one matrix.
struct Band {
  std::span<const float> values;      // [rows, cols]
  std::span<const float> importance;  // [cols]: how much an input's error counts; empty: all alike
  int64_t cols = 0;
  int64_t rows() const { return static_cast<int64_t>(values.size()) / cols; }
};

struct SchemeWriter {
  std::string_view name;  // as --to takes it
  int band_rows;          // packed together
  int scale_rows;         // share a scale; they divide band_rows
  bool uses_importance;
  // Options by the matrices of a checkpoint.
  SchemeOptions (*options)(std::span<const PlainMatrix> matrices, bool half);
  // Why a matrix stays plain, or OK. kUnimplemented: no matrix of such a layout can be stored, so the model cannot be.
  absl::StatusOr<bool> (*holds)(const PlainMatrix& matrix, const SchemeOptions& options);
  // Tensors of codes, of scales, and of the matrix's shape if there is one.
  std::vector<weights::NewTensor> (*tensors)(const PlainMatrix& matrix, const SchemeOptions& options);
  void (*pack)(const Band& band, const SchemeOptions& options, std::byte* codes, std::byte* scales);
  // quantization_config; `left_out`: modules that stay plain.
  base::JsonObject (*config)(const SchemeOptions& options, const std::vector<std::string>& left_out);
};

// Null: no such scheme.
const SchemeWriter* find_scheme_writer(std::string_view name);
std::span<const SchemeWriter> scheme_writers();

}  // namespace polymath::commands
