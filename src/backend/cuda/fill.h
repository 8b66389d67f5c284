#pragma once

// Fills weights: converts on all threads and copies through pinned memory, or generates on the device.

#include <utility>

#include "backend/cuda/device.h"
#include "backend/cuda/views.h"
#include "base/threads.h"
#include "quant/generated.h"

namespace polymath::backend::cuda {

class Filler {
 public:
  // Device memory: kTableBytes; Device::kPieceBytes.
  struct Memory {
    tensor::Buffer table, rows;
  };
  Filler(Device& device, int threads, Memory memory)
      : device_(device), pool_(threads), table_(std::move(memory.table)), rows_(std::move(memory.rows)) {}
  static constexpr size_t kTableBytes = quant::kQuantiles * sizeof(float);

  void fill(Weight& weight, int64_t group, int64_t row_begin, const quant::MatrixView& view);
  bool generate(Weight& weight, int64_t group, int64_t row_begin, const quant::GeneratedMatrix& matrix);

 private:
  // The format's own rows, as the file has them, then into cells on the device.
  void fill_packed(Weight& weight, int64_t group, int64_t row_begin, const quant::MatrixView& view);

  Device& device_;
  base::ThreadPool pool_;
  // The last generator's quantiles in its stored format.
  tensor::Buffer table_;
  const float* table_quantiles_ = nullptr;
  const quant::QuantFormat* table_format_ = nullptr;
  float table_scale_ = 0;
  tensor::Buffer rows_;  // a piece of a file's rows
};

}  // namespace polymath::backend::cuda
