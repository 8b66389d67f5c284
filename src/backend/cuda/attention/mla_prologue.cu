// MLA around its attention: a GEMM for each head, and the prologue between projections and attention. The prologue
// rotates q's rotary part into q_full, normalises the latent, rotates the key and writes both into the cache. A warp
// has a head, one warp the key.
//
// Of a head's GEMM a warp holds 16 weight rows by 128 inputs in registers, loaded before the wait. It multiplies them
// with tile after tile of 8 rows of x. Warps of a block split the inputs of wider heads and sum up. A lane's inputs are
// permuted as in grouped_gemm_unaligned_small.cu.

#include "backend/cuda/attention/kv_codes.cuh"
#include "backend/cuda/attention/ordered.h"
#include "backend/cuda/device_math.cuh"
#include "backend/cuda/launch.cuh"

namespace polymath::backend::cuda {
namespace {

constexpr int kWarps = 4, kThreads = kWarps * kWarp;
constexpr int kRows = 16;    // of the weight, a warp's
constexpr int kTokens = 8;   // of a tile of x
constexpr int kSlice = 128;  // inputs of a warp
constexpr int kStep = 32;    // inputs of the four lanes of a row: 8 of each
constexpr int kSteps = kSlice / kStep, kLaneInputs = 8;
constexpr int kBlocksAnSm = 6;
constexpr int64_t kRowsMost = 128;  // of x

using Words = uint4[kSteps];

// A row's inputs from `first` on, as bf16.
__device__ __forceinline__ void fetch_inputs(const HeadGemm& p, int group, int first, int64_t row, Words& x) {
#pragma unroll
  for (int i = 0; i < kSteps; ++i) {
    const int k = first + i * kStep;
    x[i] = make_uint4(0, 0, 0, 0);
    if (row >= p.x.rows || k >= p.w.cols) continue;
    const int64_t from = row * p.x.stride + group * p.x_group_stride + k;
    if (p.x.type == Type::kBf16) {
      x[i] = *reinterpret_cast<const uint4*>(static_cast<const __nv_bfloat16*>(p.x.data) + from);
    } else {
      const auto* const words = reinterpret_cast<const float4*>(static_cast<const float*>(p.x.data) + from);
      const float4 a = words[0], b = words[1];
      x[i] = make_uint4(two_bf16(a.x, a.y), two_bf16(a.z, a.w), two_bf16(b.x, b.y), two_bf16(b.z, b.w));
    }
  }
}

// A lane's two weight rows, lane / 4 and + 8 of the warp's; zeros past the last.
__device__ __forceinline__ void fetch_weights(const HeadGemm& p, int group, int first_row, int first, Words (&w)[2]) {
  const int lane = threadIdx.x % kWarp;
  const auto* const weights = static_cast<const __nv_bfloat16*>(p.w.data) + group * p.w.rows * p.w.stride;
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int64_t row = first_row + half * 8 + lane / 4;
#pragma unroll
    for (int i = 0; i < kSteps; ++i) {
      const int k = first + i * kStep;
      w[half][i] = make_uint4(0, 0, 0, 0);
      if (row < p.w.rows && k < p.w.stride) {
        w[half][i] = *reinterpret_cast<const uint4*>(weights + row * p.w.stride + k);
      }
    }
  }
}

// A lane's four sums: weight rows lane / 4 and + 8, for two rows of x from `row` on.
__device__ __forceinline__ void put_sums(const HeadGemm& p, int group, int64_t row, int first_row, float4 sums) {
  const float values[2][2] = {{sums.x, sums.y}, {sums.z, sums.w}};
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int64_t output = first_row + half * 8 + threadIdx.x % kWarp / 4;
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      if (output < p.w.rows && row + i < p.x.rows) {
        put(p.y, row + i, group * p.y_group_stride + output, values[half][i]);
      }
    }
  }
}

// A head's weight rows, and every step-th tile of x.
struct Part {
  int rows, head, tile, step;
};

// kSlices warps share a head's inputs.
template <int kSlices>
__device__ __forceinline__ void multiply_heads(const HeadGemm& p, const Part& part) {
  __shared__ float4 shares[2][kWarps][kWarp];  // of a tile and the next
  const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp, slice = warp % kSlices;
  const int first_row = (part.rows * (kWarps / kSlices) + warp / kSlices) * kRows;
  const int first = slice * kSlice + lane % 4 * kLaneInputs;
  Words w[2];
  fetch_weights(p, part.head, first_row, first, w);
  let_next_begin();
  wait_for_input();
  const int tiles = static_cast<int>((p.x.rows + kTokens - 1) / kTokens);
  Words x;
  fetch_inputs(p, part.head, first, part.tile * kTokens + lane / 4, x);
  for (int tile = part.tile, i = 0; tile < tiles; tile += part.step, i ^= 1) {
    float sums[4] = {};
#pragma unroll
    for (int k = 0; k < kSteps; ++k) {
      mma_bf16(sums, w[0][k].x, w[1][k].x, w[0][k].y, w[1][k].y, x[k].x, x[k].y);
      mma_bf16(sums, w[0][k].z, w[1][k].z, w[0][k].w, w[1][k].w, x[k].z, x[k].w);
    }
    fetch_inputs(p, part.head, first, (tile + part.step) * kTokens + lane / 4, x);
    float4 sum = make_float4(sums[0], sums[1], sums[2], sums[3]);
    if constexpr (kSlices > 1) {
      shares[i][warp][lane] = sum;
      __syncthreads();
      if (slice > 0) continue;
#pragma unroll
      for (int s = 1; s < kSlices; ++s) {
        sum = add(sum, shares[i][warp + s][lane]);
      }
    }
    put_sums(p, part.head, tile * kTokens + lane % 4 * 2, first_row, sum);
  }
}

constexpr int kPairs = kMlaRotatedMax / 2 / kWarp, kElements = kMlaLatentMax / kWarp;  // of a lane

struct Rotation {
  float2 angles[kPairs];
  int half;
  bool interleaved;

  // The lane rotates pairs lane, lane + 32, ...
  __device__ Rotation(const RopeParams& rope, int64_t position) : half(rope.dims / 2), interleaved(rope.interleaved) {
    const auto* const table = reinterpret_cast<const float2*>(rope.cos_sin + position * rope.dims);
#pragma unroll
    for (int i = 0; i < kPairs; ++i) {
      const int j = static_cast<int>(threadIdx.x) % kWarp + i * kWarp;
      angles[i] = j < half ? table[j] : make_float2(1, 0);
    }
  }
  // put(place, value) of each rotated element of `from`.
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

// v: the lane's latent elements; `rotated`: the others, before their rotation.
__device__ void put_packed_key(const MlaPrologue& p, const Rotation& rotation, const float (&v)[kElements],
                               const float* rotated, int64_t slot) {
  const Kv& kv = p.kv;
  const int lane = threadIdx.x % kWarp, latents = p.params.kv_lora;
  uint32_t largest = 0;
#pragma unroll
  for (int i = 0; i < kElements; ++i) largest = max(largest, lane + i * kWarp < latents ? magnitude_bits(v[i]) : 0u);
  rotation.turn(rotated, [&](int, float x) { largest = max(largest, magnitude_bits(x)); });
  const float scale = scale_of_head(kv.code, __reduce_max_sync(kAllLanes, largest));
  const PackedPlace place = packed_place(kv, slot, 0, false);
  auto* const data = static_cast<unsigned char*>(kv.data);
  if (lane == 0) *reinterpret_cast<float*>(data + place.scale) = scale;
  const auto put = [&](int c, float x) {
    data[place.codes + code_place(c, kv.key_dim)] = static_cast<unsigned char>(code_of(kv.code, scale, x));
  };
#pragma unroll
  for (int i = 0; i < kElements; ++i) {
    if (lane + i * kWarp < latents) put(lane + i * kWarp, v[i]);
  }
  rotation.turn(rotated, [&](int c, float x) { put(latents + c, x); });
}

__device__ void put_key(const MlaPrologue& p, const Rotation& rotation, const float (&weight)[kElements], int64_t row,
                        int64_t slot) {
  const int lane = threadIdx.x % kWarp, latents = p.params.kv_lora;
  const float* const from = static_cast<const float*>(p.k.data) + row * p.k.stride;
  float v[kElements], squares = 0;
#pragma unroll
  for (int i = 0; i < kElements; ++i) {
    v[i] = lane + i * kWarp < latents ? from[lane + i * kWarp] : 0.0f;
    squares += v[i] * v[i];
  }
  const float inverse = 1.0f / sqrtf(warp_sum(squares) / static_cast<float>(latents) + p.params.eps);
  if (slot < 0) return;
  if (p.kv.packed()) {
#pragma unroll
    for (int i = 0; i < kElements; ++i) v[i] *= inverse * weight[i];
    return put_packed_key(p, rotation, v, from + latents, slot);
  }
  const int64_t to = key_place(p.kv, slot / p.kv.block_size, 0, slot % p.kv.block_size);
#pragma unroll
  for (int i = 0; i < kElements; ++i) {
    const int c = lane + i * kWarp;
    if (c < latents) put_at(p.kv.data, p.kv.type, to + c, v[i] * inverse * weight[i]);
  }
  rotation.turn(from + latents, [&](int c, float x) { put_at(p.kv.data, p.kv.type, to + latents + c, x); });
}

// kWarps of the heads of q and the key.
__device__ __forceinline__ void prepare_heads(const MlaPrologue& p, int64_t row, int part) {
  const LatentParams& a = p.params;
  const int lane = threadIdx.x % kWarp, index = part * kWarps + static_cast<int>(threadIdx.x) / kWarp;
  const int64_t position = p.positions[row], slot = p.slots[row];
  if (index > a.n_heads || position < 0) return wait_for_input();
  // Angles and norm weight do not depend on the projections.
  const Rotation rotation(a.rope, position);
  float weight[kElements] = {};
#pragma unroll
  for (int i = 0; i < kElements; ++i) {
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

__global__ void prologue_kernel(MlaPrologue p) { prepare_heads(p, blockIdx.x, static_cast<int>(blockIdx.y)); }

// blockIdx.x: parts of the GEMM, `across` a head's rows times `deep` in tiles; then those of prepare_heads.
template <int kSlices>
__global__ void __launch_bounds__(kThreads, kBlocksAnSm)
    heads_kernel(HeadGemm gemm, int across, int deep, MlaPrologue prepare, int prepare_parts) {
  const int index = static_cast<int>(blockIdx.x), heads = static_cast<int>(gemm.w.groups);
  const int rest = index - across * heads * deep;
  if (rest >= 0) return prepare_heads(prepare, rest / prepare_parts, rest % prepare_parts);
  multiply_heads<kSlices>(gemm, {index % across, index / across % heads, index / across / heads, deep});
}

int parts_of(const MlaPrologue& p) { return static_cast<int>(ceil_div(p.params.n_heads + 1, kWarps)); }

// Warps that share a head's inputs.
int slices_of(const HeadGemm& g) { return g.w.cols <= kSlice ? 1 : g.w.cols <= 2 * kSlice ? 2 : kWarps; }

void launch_heads(const HeadGemm& g, const MlaPrologue& prologue, int n_multiprocessors, cudaStream_t stream) {
  const int slices = slices_of(g);
  const int64_t across = ceil_div(g.w.rows, kRows * (kWarps / slices)), tiles = ceil_div(g.x.rows, kTokens);
  const int64_t wanted = kBlocksAnSm * static_cast<int64_t>(n_multiprocessors) / (across * g.w.groups);
  const int64_t deep = wanted < 1 ? 1 : wanted < tiles ? wanted : tiles;
  const int64_t blocks = across * g.w.groups * deep + prologue.q.rows * parts_of(prologue);
  const auto kernel = slices == 1 ? heads_kernel<1> : slices == 2 ? heads_kernel<2> : heads_kernel<4>;
  launch_after(kernel, {dim3(static_cast<unsigned>(blocks)), dim3(kThreads), 0, stream}, g, static_cast<int>(across),
               static_cast<int>(deep), prologue, parts_of(prologue));
}

}  // namespace

bool mla_head_gemm_takes(const HeadGemm& g) {
  return g.w.type == Type::kBf16 && g.x.type != Type::kF16 && g.w.cols <= slices_of(g) * kSlice &&
         g.w.cols % kLaneInputs == 0 && g.x.rows > 0 && rows_aligned(g.x, 16) &&
         g.x_group_stride * type_bytes(g.x.type) % 16 == 0;
}

bool mla_head_gemm_fits(const HeadGemm& g) { return mla_head_gemm_takes(g) && g.x.rows <= kRowsMost; }

void mla_head_gemm(const HeadGemm& gemm, int n_multiprocessors, cudaStream_t stream) {
  launch_heads(gemm, {}, n_multiprocessors, stream);
}

void mla_prologue(const MlaPrologue& p, cudaStream_t stream) {
  if (p.q.rows == 0) return;
  const dim3 grid(static_cast<unsigned>(p.q.rows), static_cast<unsigned>(parts_of(p)));
  launch_after(prologue_kernel, {grid, dim3(kThreads), 0, stream}, p);
}

void mla_prologue_gemm(const MlaPrologue& p, const HeadGemm& gemm, int n_multiprocessors, cudaStream_t stream) {
  launch_heads(gemm, p, n_multiprocessors, stream);
}

}  // namespace polymath::backend::cuda
