#pragma once

// A weight as a backend keeps it: one matrix, or a group of equal ones (experts, heads), in a format.
//
// Where an element stands in `data` is the backend's own business; only that backend reads it.

#include "quant/format.h"
#include "tensor/tensor.h"

namespace polymath::quant {

struct WeightShape {
  int64_t groups = 1;  // experts or heads; 1: a plain matrix
  int64_t rows = 0;    // output features of one group
  int64_t cols = 0;    // input features
  bool glu = false;    // the first half of the rows is the gate, the second half is up; rows is even
};

struct Weight {
  const QuantFormat* format = nullptr;
  WeightShape shape;
  tensor::Buffer data;

  bool empty() const { return data.data() == nullptr; }
  // Bytes of the values themselves, without any padding: what a step has to read.
  double value_bytes() const {
    return static_cast<double>(shape.groups * shape.rows * shape.cols) / format->block_cols * format->block_bytes;
  }
};

}  // namespace polymath::quant
