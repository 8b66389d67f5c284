// What stands between the projections and attention of MLA, in one pass: the rotated parts of q's heads go behind the
// parts that linear_heads.cu carries into the latent space; the key's latent numbers are normalised, its rotated ones
// rotated, all of it goes into the cache. A warp a head, and one the key.

#include "backend/cuda/device_math.cuh"
#include "backend/cuda/kv_layout.cuh"
#include "backend/cuda/launch.cuh"

namespace polymath::backend::cuda {
namespace {

constexpr int kWarps = 4;
constexpr int kPairs = kLatentRotatedMax / 2 / kWarp, kNumbers = kLatentMost / kWarp;  // of a lane

struct Rotation {
  float2 angles[kPairs];
  int half;
  bool interleaved;

  // The pairs that the lane turns, pair lane and those a warp on.
  __device__ Rotation(const RopeParams& rope, int64_t position) : half(rope.dims / 2), interleaved(rope.interleaved) {
    const auto* const table = reinterpret_cast<const float2*>(rope.cos_sin + position * rope.dims);
#pragma unroll
    for (int i = 0; i < kPairs; ++i) {
      const int j = static_cast<int>(threadIdx.x) % kWarp + i * kWarp;
      angles[i] = j < half ? table[j] : make_float2(1, 0);
    }
  }
  // put(place, value) of each number of `from`, rotated.
  template <typename Put>
  __device__ void turn(const float* from, Put put) const {
#pragma unroll
    for (int i = 0; i < kPairs; ++i) {
      const int j = static_cast<int>(threadIdx.x) % kWarp + i * kWarp;
      if (j >= half) break;
      const int first = interleaved ? 2 * j : j, second = interleaved ? 2 * j + 1 : j + half;
      const float a = from[first], b = from[second];
      put(first, a * angles[i].x - b * angles[i].y);
      put(second, b * angles[i].x + a * angles[i].y);
    }
  }
};

__device__ void put_key(const PrepareLatent& p, const Rotation& rotation, const float (&weight)[kNumbers], int64_t row,
                        int64_t slot) {
  const int lane = threadIdx.x % kWarp, latents = p.params.kv_lora;
  const float* const from = static_cast<const float*>(p.k.data) + row * p.k.stride;
  float v[kNumbers], squares = 0;
#pragma unroll
  for (int i = 0; i < kNumbers; ++i) {
    v[i] = lane + i * kWarp < latents ? from[lane + i * kWarp] : 0.0f;
    squares += v[i] * v[i];
  }
  const float inverse = 1.0f / sqrtf(warp_sum(squares) / static_cast<float>(latents) + p.params.eps);
  if (slot < 0) return;
  const int64_t to = key_place(p.kv, slot / p.kv.block_size, 0, slot % p.kv.block_size);
#pragma unroll
  for (int i = 0; i < kNumbers; ++i) {
    const int c = lane + i * kWarp;
    if (c < latents) put_at(p.kv.data, p.kv.type, to + c, v[i] * inverse * weight[i]);
  }
  rotation.turn(from + latents, [&](int c, float x) { put_at(p.kv.data, p.kv.type, to + latents + c, x); });
}

__global__ void prepare_latent_kernel(PrepareLatent p) {
  const LatentParams& a = p.params;
  const int lane = threadIdx.x % kWarp, index = static_cast<int>(blockIdx.y) * kWarps + threadIdx.x / kWarp;
  const int64_t row = blockIdx.x, position = p.positions[row], slot = p.slots[row];
  if (index > a.n_heads || position < 0) return wait_for_input();
  // None of this is the projections'.
  const Rotation rotation(a.rope, position);
  float weight[kNumbers] = {};
#pragma unroll
  for (int i = 0; i < kNumbers; ++i) {
    const int c = lane + i * kWarp;
    if (index == a.n_heads && c < a.kv_lora) weight[i] = a.kv_norm[c];
  }
  let_next_begin();
  wait_for_input();
  if (index == a.n_heads) return put_key(p, rotation, weight, row, slot);
  const float* const from =
      static_cast<const float*>(p.q.data) + row * p.q.stride + index * (a.nope_dim + a.rope.dims) + a.nope_dim;
  float* const to =
      static_cast<float*>(p.q_full.data) + row * p.q_full.stride + index * (a.kv_lora + a.rope.dims) + a.kv_lora;
  rotation.turn(from, [to](int c, float x) { to[c] = x; });
}

}  // namespace

void prepare_latent(const PrepareLatent& p, cudaStream_t stream) {
  if (p.q.rows == 0) return;
  const auto across = static_cast<unsigned>(ceil_div(p.params.n_heads + 1, kWarps));
  launch_after(prepare_latent_kernel, dim3(static_cast<unsigned>(p.q.rows), across), dim3(kWarps * kWarp), 0, stream, p);
}

}  // namespace polymath::backend::cuda
