#pragma once

// A weight as a backend keeps it, in one format. It is one matrix, or a group of equal ones (experts, heads).
//
// Only that backend knows the layout of its buffers.

#include "quant/format.h"
#include "tensor/tensor.h"

namespace polymath::quant {

// What a weight is for. A backend chooses the kept format by it.
enum class WeightUse {
  kLinear,     // linear
  kHeads,      // batched_linear: a matrix a head
  kExperts,    // expert_mlp, grouped_linear
  kRouter,     // logits of experts: kept without loss
  kEmbedding,  // embed; linear too where embeddings are tied
  kVector,     // norms and biases: always f32
};

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
  tensor::Buffer scales, zeros;  // empty: the format has none

  bool empty() const { return data.data() == nullptr; }
  // Bytes of the packed values that a step reads, without padding.
  double value_bytes() const {
    return static_cast<double>(shape.groups * shape.rows * shape.cols) / format->block_cols * format->block_bytes;
  }
};

}  // namespace polymath::quant
