// From the projection [q | k | v] to attention in one pass. It normalises and rotates q's and k's heads, scales q, and
// writes keys and values into the cache. A warp a head.

#include "backend/cuda/attention/attention.h"
#include "backend/cuda/attention/kv_codes.cuh"
#include "backend/cuda/launch.cuh"

namespace polymath::backend::cuda {
namespace {

constexpr int kWarps = 4;
constexpr int kValues = kQkvHeadMax / kWarp;  // of a lane

// x / sqrt(mean of squares + eps) * weight; a lane has elements lane, lane + 32, ...
__device__ void norm_head(float (&v)[kValues], int dim, float eps, const float (&weight)[kValues]) {
  float squares = 0;
#pragma unroll
  for (int i = 0; i < kValues; ++i) squares += v[i] * v[i];
  const float inverse = 1.0f / sqrtf(warp_sum(squares) / static_cast<float>(dim) + eps);
#pragma unroll
  for (int i = 0; i < kValues; ++i) v[i] *= inverse * weight[i];
}

// The element that element c is rotated with.
__device__ __forceinline__ int angle_of(const RopeParams& rope, int c) {
  return rope.interleaved ? c / 2 : c % (rope.dims / 2);
}

// angles: cosine and sine of each of the lane's elements.
__device__ void rotate_head(float (&v)[kValues], int dim, const RopeParams& rope, const float2 (&angles)[kValues],
                            float* head) {
  const int lane = threadIdx.x % kWarp, half = rope.dims / 2;
#pragma unroll
  for (int i = 0; i < kValues; ++i) {
    if (lane + i * kWarp < dim) head[lane + i * kWarp] = v[i];
  }
  __syncwarp();
#pragma unroll
  for (int i = 0; i < kValues; ++i) {
    const int c = lane + i * kWarp;
    if (c >= rope.dims) break;
    const bool second = rope.interleaved ? c % 2 == 1 : c >= half;
    const int j = angle_of(rope, c);
    const float a = head[rope.interleaved ? 2 * j : j], b = head[rope.interleaved ? 2 * j + 1 : j + half];
    v[i] = second ? b * angles[i].x + a * angles[i].y : a * angles[i].x - b * angles[i].y;
  }
}

__global__ void qkv_prologue_kernel(QkvPrologue p) {
  __shared__ float heads[kWarps][kQkvHeadMax];
  const QkvParams& q = p.params;
  const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp, dim = q.head_dim;
  const int64_t row = blockIdx.x, position = p.positions[row], slot = p.slots[row];
  const int index = static_cast<int>(blockIdx.y) * kWarps + warp;  // heads of q, then of k, then of v
  if (index >= q.n_heads + 2 * q.n_kv_heads || position < 0) return wait_for_input();
  const bool is_q = index < q.n_heads, is_v = index >= q.n_heads + q.n_kv_heads;
  const float* norm_weight = is_q ? q.q_norm : q.k_norm;
  float weight[kValues];
  float2 angles[kValues] = {};
#pragma unroll
  for (int i = 0; i < kValues; ++i) {  // none of it is the projection's
    const int c = lane + i * kWarp;
    weight[i] = norm_weight != nullptr && !is_v && c < dim ? norm_weight[c] : 1.0f;
    if (q.rope.cos_sin == nullptr || is_v || c >= q.rope.dims) continue;
    angles[i] = *reinterpret_cast<const float2*>(q.rope.cos_sin + position * q.rope.dims + 2 * angle_of(q.rope, c));
  }
  let_next_begin();
  wait_for_input();
  float* from = static_cast<float*>(p.qkv.data) + row * p.qkv.stride + static_cast<int64_t>(index) * dim;
  float v[kValues] = {};
#pragma unroll
  for (int i = 0; i < kValues; ++i) {
    if (lane + i * kWarp < dim) v[i] = from[lane + i * kWarp];
  }
  if (!is_v) {
    if (q.norm == QkvNorm::kHead) norm_head(v, dim, q.eps, weight);
    if (q.rope.cos_sin != nullptr) rotate_head(v, dim, q.rope, angles, heads[warp]);
    if (q.norm == QkvNorm::kHeadAfter) norm_head(v, dim, q.eps, weight);
  }
  if (is_q) {
    const float factor = q.factors != nullptr ? q.factors[row] : 1.0f;
#pragma unroll
    for (int i = 0; i < kValues; ++i) {
      if (lane + i * kWarp < dim) from[lane + i * kWarp] = v[i] * factor;
    }
    return;
  }
  if (slot < 0) return;
  const int head = (index - q.n_heads) % q.n_kv_heads;
  if (p.kv.packed()) return put_packed_head(p.kv, packed_place(p.kv, slot, head, is_v), dim, v);
  const int64_t block = slot / p.kv.block_size, offset = slot % p.kv.block_size;
  const int64_t to = is_v ? value_place(p.kv, block, head, offset) : key_place(p.kv, block, head, offset);
#pragma unroll
  for (int i = 0; i < kValues; ++i) {
    if (lane + i * kWarp < dim) put_at(p.kv.data, p.kv.type, to + lane + i * kWarp, v[i]);
  }
}

}  // namespace

void qkv_prologue(const QkvPrologue& p, cudaStream_t stream) {
  if (p.qkv.rows == 0) return;
  const auto across = static_cast<unsigned>(ceil_div(p.params.n_heads + 2 * p.params.n_kv_heads, kWarps));
  launch_after(qkv_prologue_kernel, {dim3(static_cast<unsigned>(p.qkv.rows), across), dim3(kWarps * kWarp), 0, stream},
               p);
}

}  // namespace polymath::backend::cuda
