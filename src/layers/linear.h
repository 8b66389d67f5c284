#pragma once

// y = epilogue(x W^T + bias). The GEMM knows its weight's split over the tensor group.

#include <vector>

#include "layers/adapters.h"
#include "layers/step_context.h"
#include "layers/step_cost.h"

namespace polymath::layers {

struct Linear {
  quant::Weight weight;
  // Further rows, where a file has parts of the matrix in formats of their own. Their outputs follow the weight's.
  std::vector<quant::Weight> more;
  const float* bias = nullptr;  // [rows] or null
  // Columns are split over the group, so each rank has a part of every sum.
  bool reduces = false;
  AdapterWeights adapters;

  int64_t rows() const;  // of all weights
  void add_cost(double rows, StepCost& cost) const;
  // x [n, cols] act -> y [n, rows] act; f32 where adapters may add to it. `epilogue.bias` is not read.
  void run(const StepContext& ctx, const backend::Tensor& x, backend::LinearEpilogue epilogue,
           const backend::Tensor& y) const;
  // Adds to the residual stream: h [n, rows] f32 += scale * (x W^T + bias).
  // Summed over the group if the columns are split.
  void add_to(const StepContext& ctx, const backend::Tensor& x, float scale, const backend::Tensor& h) const;

 private:
  void multiply(const StepContext& ctx, const backend::Tensor& x, backend::LinearEpilogue epilogue,
                const backend::Tensor& y) const;
  void add_adapters(const StepContext& ctx, const backend::Tensor& x, float scale, const backend::Tensor& y) const;
};

}  // namespace polymath::layers
