#pragma once

// Ops that touch each element once.

#include "backend/cuda/matrix.h"

namespace polymath::backend::cuda {

// Id -1 gives zeros; any other id outside the table gives NaNs.
void embed(const WeightMatrix& table, const int32_t* ids, float scale, const Matrix& y, cudaStream_t stream);
void norm(const NormParams& params, const Matrix& x, const Matrix& y, cudaStream_t stream);
void rope(const RopeParams& params, const int32_t* positions, const Matrix& x, cudaStream_t stream);
// For each of `heads`: to[:, h * to_stride ..] = from[:, h * from_stride ..], `width` elements; f32.
struct CopyHeads {
  int heads = 0, width = 0;
  Matrix from, to;
  int64_t from_stride = 0, to_stride = 0;
};
void copy_heads(const CopyHeads& copy, cudaStream_t stream);
// x[:, h * dim + c] *= sigmoid(gate[:, h * gate_stride + c])
struct GateHeads {
  int heads = 0, dim = 0;
  Matrix gate, x;
  int64_t gate_stride = 0;
};
void gate_heads(const GateHeads& gate, cudaStream_t stream);
void scale_rows(const float* factors, const Matrix& x, cudaStream_t stream);
// A row outside x gives zeros: past the pairs of a routing that dropped some, row numbers are stale.
void gather_rows(const Matrix& x, const int32_t* rows, const Matrix& y, cudaStream_t stream);
// y[i] = factors[i] * glu(x[i]); null factors: 1. Columns of y past half of x's become zeros.
void glu(const GluParams& params, const Matrix& x, const float* factors, const Matrix& y, cudaStream_t stream);
// y = scale * clamp(y + bias), in place.
void finish_linear(const LinearEpilogue& epilogue, const Matrix& y, cudaStream_t stream);
// y += scale * bias.
void add_bias(const float* bias, float scale, const Matrix& y, cudaStream_t stream);
// y = x in y's type; columns of y past x's become zeros.
void convert(const Matrix& x, const Matrix& y, cudaStream_t stream);

}  // namespace polymath::backend::cuda
