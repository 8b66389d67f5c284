// Ops that touch each element once: a thread an element, or a block a row.

#include "backend/cuda/device_math.cuh"
#include "backend/cuda/elementwise/elementwise.h"
#include "backend/cuda/launch.cuh"

namespace polymath::backend::cuda {
namespace {

constexpr int kThreads = 256;

__global__ void embed_kernel(WeightMatrix table, const int32_t* ids, float scale, Matrix y) {
  let_next_begin();
  wait_for_input();
  const int64_t row = blockIdx.x;
  const int32_t id = ids[row];
  const bool known = id >= 0 && id < table.rows;
  if (id == -1) {  // a padding row
    for (int64_t c = threadIdx.x; c < y.cols; c += kThreads) put(y, row, c, 0.0f);
    return;
  }
  for (int64_t c = threadIdx.x; c < y.cols; c += kThreads) {
    put(y, row, c, known ? scale * value_at(table.data, table.type, id * table.stride + c) : NAN);
  }
}

// A block a segment of a row. Each thread writes the elements that it read, so y may be x.
template <int kBlock>
__global__ void norm_kernel(NormParams p, Matrix x, Matrix y) {
  wait_for_input();
  const int64_t width = x.cols / p.segments;
  const int64_t row = blockIdx.x / p.segments, begin = blockIdx.x % p.segments * width;
  float mean = 0;
  if (p.kind == NormKind::kLayer) {
    float sum = 0;
    for (int64_t c = threadIdx.x; c < width; c += kBlock) sum += at(x, row, begin + c);
    mean = block_sum<kBlock>(sum) / static_cast<float>(width);
  }
  float squares = 0;
  for (int64_t c = threadIdx.x; c < width; c += kBlock) {
    const float v = at(x, row, begin + c) - mean;
    squares += v * v;
  }
  const float inverse = 1.0f / sqrtf(block_sum<kBlock>(squares) / static_cast<float>(width) + p.eps);
  for (int64_t c = threadIdx.x; c < width; c += kBlock) {
    const float v = (at(x, row, begin + c) - mean) * inverse;
    put(y, row, begin + c, v * (p.weight ? p.weight[c] : 1.0f) + (p.bias ? p.bias[c] : 0.0f));
  }
}

// The same for the residual stream: one pass, 16-byte loads.
constexpr int kWideThreads = 512, kWideWords = 4;  // of 4 elements, a thread
__global__ void __launch_bounds__(kWideThreads) rms_norm_kernel(NormParams p, Matrix x, Matrix y) {
  const int64_t row = blockIdx.x;
  const int words = static_cast<int>(x.cols / 4);
  float4 weight[kWideWords];
#pragma unroll
  for (int i = 0; i < kWideWords; ++i) {
    const int at = static_cast<int>(threadIdx.x) + i * kWideThreads;
    weight[i] = make_float4(1, 1, 1, 1);
    if (p.weight != nullptr && at < words) weight[i] = reinterpret_cast<const float4*>(p.weight)[at];
  }
  let_next_begin();
  wait_for_input();
  const auto* from = reinterpret_cast<const float4*>(static_cast<const float*>(x.data) + row * x.stride);
  float4 v[kWideWords] = {};
  float squares = 0;
#pragma unroll
  for (int i = 0; i < kWideWords; ++i) {
    const int at = static_cast<int>(threadIdx.x) + i * kWideThreads;
    if (at < words) v[i] = from[at];
    squares += v[i].x * v[i].x + v[i].y * v[i].y + v[i].z * v[i].z + v[i].w * v[i].w;
  }
  const float inverse = 1.0f / sqrtf(block_sum<kWideThreads>(squares) / static_cast<float>(x.cols) + p.eps);
#pragma unroll
  for (int i = 0; i < kWideWords; ++i) {
    const int at = static_cast<int>(threadIdx.x) + i * kWideThreads;
    if (at >= words) continue;
    const float4 w = weight[i];
    const float4 n =
        make_float4(v[i].x * inverse * w.x, v[i].y * inverse * w.y, v[i].z * inverse * w.z, v[i].w * inverse * w.w);
    if (y.type == Type::kF32) {
      reinterpret_cast<float4*>(static_cast<float*>(y.data) + row * y.stride)[at] = n;
    } else {
      reinterpret_cast<uint2*>(static_cast<__nv_bfloat16*>(y.data) + row * y.stride)[at] =
          make_uint2(two_bf16(n.x, n.y), two_bf16(n.z, n.w));
    }
  }
}

__global__ void rope_kernel(RopeParams p, const int32_t* positions, Matrix x) {
  wait_for_input();
  const int half = p.dims / 2;
  const int64_t row = blockIdx.x;
  const float* table = p.cos_sin + static_cast<int64_t>(positions[row]) * p.dims;
  for (int i = threadIdx.x; i < p.heads * half; i += kThreads) {
    const int j = i % half;
    const int64_t base = static_cast<int64_t>(i / half) * p.head_stride + p.offset;
    const int64_t a = base + (p.interleaved ? 2 * j : j), b = base + (p.interleaved ? 2 * j + 1 : j + half);
    const float va = at(x, row, a), vb = at(x, row, b), cosine = table[2 * j], sine = table[2 * j + 1];
    put(x, row, a, va * cosine - vb * sine);
    put(x, row, b, vb * cosine + va * sine);
  }
}

__global__ void copy_heads_kernel(CopyHeads c) {
  wait_for_input();
  const int64_t row = blockIdx.x;
  for (int i = threadIdx.x; i < c.heads * c.width; i += kThreads) {
    const int64_t head = i / c.width, col = i % c.width;
    put(c.to, row, head * c.to_stride + col, at(c.from, row, head * c.from_stride + col));
  }
}

__global__ void gate_heads_kernel(GateHeads g) {
  wait_for_input();
  const int64_t row = blockIdx.x;
  for (int i = threadIdx.x; i < g.heads * g.dim; i += kThreads) {
    const int64_t head = i / g.dim, col = i % g.dim;
    const float gate = at(g.gate, row, head * g.gate_stride + col);
    put(g.x, row, i, at(g.x, row, i) / (1.0f + expf(-gate)));
  }
}

__global__ void scale_rows_kernel(const float* factors, Matrix x) {
  wait_for_input();
  const int64_t row = blockIdx.x;
  const float factor = factors[row];
  for (int64_t c = threadIdx.x; c < x.cols; c += kThreads) put(x, row, c, at(x, row, c) * factor);
}

__global__ void gather_rows_kernel(Matrix x, const int32_t* rows, Matrix y) {
  wait_for_input();
  const int64_t row = blockIdx.x, from = rows[row];
  const bool there = from >= 0 && from < x.rows;
  for (int64_t c = threadIdx.x; c < y.cols; c += kThreads) {
    if (x.type == Type::kF32 && y.type == Type::kF32) {  // bitwise: callers may gather integers
      static_cast<uint32_t*>(y.data)[row * y.stride + c] =
          there ? static_cast<const uint32_t*>(x.data)[from * x.stride + c] : 0;
    } else {
      put(y, row, c, there ? at(x, from, c) : 0.0f);
    }
  }
}

__global__ void glu_kernel(GluParams params, Matrix x, const float* factors, Matrix y) {
  let_next_begin();
  wait_for_input();
  const int64_t row = blockIdx.x, intermediate = x.cols / 2;
  const float factor = factors != nullptr ? factors[row] : 1.0f;
  for (int64_t c = static_cast<int64_t>(blockIdx.y) * kThreads + threadIdx.x; c < y.cols;
       c += static_cast<int64_t>(gridDim.y) * kThreads) {
    put(y, row, c, c < intermediate ? factor * glu_value(params, at(x, row, c), at(x, row, intermediate + c)) : 0.0f);
  }
}

__global__ void finish_linear_kernel(LinearEpilogue e, Matrix y) {
  wait_for_input();
  const int64_t row = blockIdx.x;
  for (int64_t c = threadIdx.x; c < y.cols; c += kThreads) {
    float v = at(y, row, c) + (e.bias ? e.bias[c] : 0.0f);
    if (e.clamp > 0) v = v < -e.clamp ? -e.clamp : v > e.clamp ? e.clamp : v;
    put(y, row, c, e.scale * v);
  }
}

__global__ void add_bias_kernel(const float* bias, float scale, Matrix y) {
  wait_for_input();
  const int64_t row = blockIdx.x;
  for (int64_t c = threadIdx.x; c < y.cols; c += kThreads) put(y, row, c, at(y, row, c) + scale * bias[c]);
}

__global__ void convert_kernel(Matrix x, Matrix y) {
  wait_for_input();
  const int64_t row = blockIdx.x;
  for (int64_t c = threadIdx.x; c < y.cols; c += kThreads) put(y, row, c, c < x.cols ? at(x, row, c) : 0.0f);
}

unsigned blocks(int64_t rows) { return static_cast<unsigned>(rows); }

}  // namespace

void embed(const WeightMatrix& table, const int32_t* ids, float scale, const Matrix& y, cudaStream_t stream) {
  if (y.rows > 0) launch_after(embed_kernel, {dim3(blocks(y.rows)), dim3(kThreads), 0, stream}, table, ids, scale, y);
}

void norm(const NormParams& params, const Matrix& x, const Matrix& y, cudaStream_t stream) {
  if (x.rows == 0) return;
  const bool wide = params.kind == NormKind::kRms && params.segments == 1 && params.bias == nullptr &&
                    x.type == Type::kF32 && y.type != Type::kF16 && x.cols % 4 == 0 &&
                    x.cols <= 4 * kWideWords * kWideThreads && rows_aligned(x, 16) &&
                    rows_aligned(y, 4 * type_bytes(y.type)) && reinterpret_cast<uintptr_t>(params.weight) % 16 == 0;
  if (wide) {
    launch_after(rms_norm_kernel, {dim3(blocks(x.rows)), dim3(kWideThreads), 0, stream}, params, x, y);
  } else if (x.cols / params.segments <= kThreads) {
    launch_after(norm_kernel<kWarp>, {dim3(blocks(x.rows * params.segments)), dim3(kWarp), 0, stream}, params, x, y);
  } else {
    launch_after(norm_kernel<kThreads>, {dim3(blocks(x.rows * params.segments)), dim3(kThreads), 0, stream}, params, x,
                 y);
  }
}

void rope(const RopeParams& params, const int32_t* positions, const Matrix& x, cudaStream_t stream) {
  if (x.rows > 0) launch_after(rope_kernel, {dim3(blocks(x.rows)), dim3(kThreads), 0, stream}, params, positions, x);
}

void copy_heads(const CopyHeads& c, cudaStream_t stream) {
  if (c.from.rows > 0) launch_after(copy_heads_kernel, {dim3(blocks(c.from.rows)), dim3(kThreads), 0, stream}, c);
}

void gate_heads(const GateHeads& g, cudaStream_t stream) {
  if (g.x.rows > 0) launch_after(gate_heads_kernel, {dim3(blocks(g.x.rows)), dim3(kThreads), 0, stream}, g);
}

void scale_rows(const float* factors, const Matrix& x, cudaStream_t stream) {
  if (x.rows > 0) launch_after(scale_rows_kernel, {dim3(blocks(x.rows)), dim3(kThreads), 0, stream}, factors, x);
}

void gather_rows(const Matrix& x, const int32_t* rows, const Matrix& y, cudaStream_t stream) {
  if (y.rows > 0) launch_after(gather_rows_kernel, {dim3(blocks(y.rows)), dim3(kThreads), 0, stream}, x, rows, y);
}

void glu(const GluParams& params, const Matrix& x, const float* factors, const Matrix& y, cudaStream_t stream) {
  if (y.rows == 0) return;
  const auto across = static_cast<unsigned>(y.rows >= 256 ? 1 : ceil_div(y.cols, kThreads));
  launch_after(glu_kernel, {dim3(blocks(y.rows), across), dim3(kThreads), 0, stream}, params, x, factors, y);
}

void finish_linear(const LinearEpilogue& epilogue, const Matrix& y, cudaStream_t stream) {
  if (y.rows > 0) launch_after(finish_linear_kernel, {dim3(blocks(y.rows)), dim3(kThreads), 0, stream}, epilogue, y);
}

void add_bias(const float* bias, float scale, const Matrix& y, cudaStream_t stream) {
  if (y.rows > 0) launch_after(add_bias_kernel, {dim3(blocks(y.rows)), dim3(kThreads), 0, stream}, bias, scale, y);
}

void convert(const Matrix& x, const Matrix& y, cudaStream_t stream) {
  if (y.rows > 0) launch_after(convert_kernel, {dim3(blocks(y.rows)), dim3(kThreads), 0, stream}, x, y);
}

}  // namespace polymath::backend::cuda
