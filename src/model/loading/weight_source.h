#pragma once

// From a row of an architecture's weight table to views into the checkpoint's tensors.

#include <string>
#include <vector>

#include "model/architecture.h"
#include "model/slots.h"
#include "quant/format.h"
#include "tensor/tensor.h"

namespace polymath::model {

// One piece of one group of a slot: which tensor, and which part of it.
struct PieceSource {
  std::string tensor;      // its name in the checkpoint
  tensor::Shape expected;  // the tensor's whole shape
  int64_t group = 0;       // in the rank's part of the slot
  int64_t row_begin = 0;   // in the group
  int64_t offset = 0;      // elements from the tensor's first
  float added = 0;         // to each element, of vectors
  quant::MatrixView view;  // rows, cols and strides; format and data are set when the tensor is read
};

// Every piece of `slot` that a rank holds, grouped so that pieces of one tensor follow each other.
std::vector<PieceSource> piece_sources(const Slot& slot, const WeightRow& row, parallel::Rank rank = {});

// The tensors of the slot's first group, one for each piece.
struct NamedShape {
  std::string name;
  tensor::Shape shape;
};
std::vector<NamedShape> first_tensors(const Slot& slot, const WeightRow& row);

}  // namespace polymath::model
