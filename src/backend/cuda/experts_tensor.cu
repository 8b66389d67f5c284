// Experts on Hopper's tensor cores (wgmma), their operands brought by the tensor copy engine.
//
// The weights are the side of 64 rows, the tokens the side that may be short: so a tile pads tokens to 8, not to 64,
// and one kernel serves two tokens an expert as well as hundreds. One warp copies stages of 64 inputs into a ring; each
// of kGroups warpgroups multiplies its 64 rows of the weight with all the tile's tokens. Of a gated weight the copy
// lays eight rows of the gate and the same eight of up in turn: a thread then holds a gate and its up.
//
// Blocks stay and take every gridDim-th tile: expert by expert, rows of the weight by rows, tokens innermost, so that
// blocks that share weights run side by side and the weights come from memory once. Which tiles there are, each block
// finds from the experts' offsets. Tokens behind an expert's last are the next one's: they are multiplied and dropped.

#include "backend/cuda/device_math.cuh"
#include "backend/cuda/launch.cuh"
#include "backend/cuda/tensor_map.h"
#include "backend/cuda/wgmma.cuh"

namespace polymath::backend::cuda {
namespace {

constexpr int kGroupThreads = 128;
constexpr int kInputs = 64;  // of a stage: 128 bytes a row
constexpr int kRowBytes = kInputs * 2;
constexpr int kGroupRows = 64;

// What differs between many tokens and few.
template <int kGroups_, int kTokens_, int kStages_, int kBoxTokens_, int kBlocksAnSm_>
struct Variant {
  static constexpr int kGroups = kGroups_;  // warpgroups that multiply
  static constexpr int kTokens = kTokens_;  // of a tile, at most
  static constexpr int kStages = kStages_;
  static constexpr int kBoxTokens = kBoxTokens_;  // of one copy
  static constexpr int kBlocksAnSm = kBlocksAnSm_;
  static constexpr int kRows = kGroups * kGroupRows;
  static constexpr int kThreads = (kGroups + 1) * kGroupThreads;
  static constexpr int kWeightBytes = kRows * kRowBytes, kTokenBytes = kTokens * kRowBytes;
  static constexpr int kStageBytes = kWeightBytes + kTokenBytes;
  static constexpr size_t kSharedBytes = static_cast<size_t>(kStages) * kStageBytes + 1024;  // to be aligned
};
using Few = Variant<1, 64, 6, 8, 2>;
using Many = Variant<2, 256, 4, 64, 1>;

// What becomes of a tile's sums: a kernel each, so that the registers of one are not held for another.
enum class End { kSilu, kAnyGlu, kOutput, kCount };

struct Problem {
  ExpertProduct p;
  int row_tiles = 0;
  int stages = 0;  // of a tile
};

struct Tile {
  int expert = 0, row_tile = 0;
  int begin = 0, n = 0;  // sorted pairs
};

// Where every expert's token tiles begin; by one warp.
template <typename V>
__device__ void count_tiles(const Groups& groups, int* first_tile) {
  const int lane = threadIdx.x % kWarp;
  int before = 0;
  for (int first = 0; first < groups.n_experts; first += kWarp) {
    const int e = first + lane;
    const int mine =
        e < groups.n_experts ? (groups.offsets[e + 1] - groups.offsets[e] + V::kTokens - 1) / V::kTokens : 0;
    int through = mine;
    for (int step = 1; step < kWarp; step *= 2) {
      const int other = __shfl_up_sync(kAllLanes, through, step);
      if (lane >= step) through += other;
    }
    if (e < groups.n_experts) first_tile[e] = before + through - mine;
    before += __shfl_sync(kAllLanes, through, kWarp - 1);
  }
  if (lane == 0) first_tile[groups.n_experts] = before;
}

// The expert's tokens are cut in equal tiles, of eights.
template <typename V>
__device__ Tile find_tile(const Problem& problem, const int* first_tile, int index) {
  const Groups& groups = problem.p.groups;
  int low = 0, high = groups.n_experts;  // the last expert whose tiles begin at or before `index`
  while (high - low > 1) {
    const int middle = (low + high) / 2;
    if (first_tile[middle] * problem.row_tiles <= index) {
      low = middle;
    } else {
      high = middle;
    }
  }
  const int token_tiles = first_tile[low + 1] - first_tile[low], rest = index - first_tile[low] * problem.row_tiles;
  const int begin = groups.offsets[low], tokens = groups.offsets[low + 1] - begin;
  const int each = ((tokens + token_tiles - 1) / token_tiles + 7) / 8 * 8, nth = rest % token_tiles;
  return {low, rest / token_tiles, begin + nth * each, min(each, tokens - nth * each)};
}

template <typename V>
struct Ring {
  uint64_t full[V::kStages], empty[V::kStages];
};

struct Place {
  int stage = 0;
  uint32_t phase = 0;
  template <typename V>
  __device__ void advance() {
    if (++stage == V::kStages) stage = 0, phase ^= 1;
  }
};

// One thread: every stage of every tile.
template <typename V>
__device__ void produce(const Problem& problem, const CUtensorMap* weights, const CUtensorMap* tokens, uint8_t* stages,
                        Ring<V>& ring, const int* first_tile, int n_tiles) {
  const int octets = V::kRows / (problem.p.first ? 16 : 8);  // of a tile, on the map's fourth axis
  Place place;
  for (int index = blockIdx.x; index < n_tiles; index += gridDim.x) {
    const Tile tile = find_tile<V>(problem, first_tile, index);
    const int boxes = (tile.n + V::kBoxTokens - 1) / V::kBoxTokens;
    for (int s = 0; s < problem.stages; ++s) {
      barrier_wait(&ring.empty[place.stage], place.phase ^ 1);
      uint8_t* to = stages + place.stage * V::kStageBytes;
      uint64_t* full = &ring.full[place.stage];
      barrier_expect(full, static_cast<uint32_t>(V::kWeightBytes + boxes * V::kBoxTokens * kRowBytes));
      copy_tensor_5d(to, weights, full, s * kInputs, 0, 0, tile.row_tile * octets, tile.expert);
      to += V::kWeightBytes;
      for (int b = 0; b < boxes; ++b) {
        const int row = problem.p.one_token ? 0 : tile.begin + b * V::kBoxTokens;
        copy_tensor_2d(to + b * V::kBoxTokens * kRowBytes, tokens, full, s * kInputs, row);
      }
      place.advance<V>();
    }
  }
}

// One number of each of two tokens becomes two of one token: rows that differ by one are four lanes apart.
__device__ __forceinline__ float2 pair_up(float of_a, float of_b, bool odd) {
  const float other = __shfl_xor_sync(kAllLanes, odd ? of_a : of_b, 4);
  return odd ? make_float2(other, of_b) : make_float2(of_a, other);
}

// Two 2-byte numbers side by side; a half is at most the largest that it holds.
template <bool kHalf>
__device__ __forceinline__ uint32_t two_numbers(float2 v) {
  if constexpr (kHalf) {
    constexpr float kMost = 65504.0f;
    const __half2 pair = __floats2half2_rn(fminf(fmaxf(v.x, -kMost), kMost), fminf(fmaxf(v.y, -kMost), kMost));
    return *reinterpret_cast<const uint32_t*>(&pair);
  } else {
    const __nv_bfloat162 pair = __floats2bfloat162_rn(v.x, v.y);
    return *reinterpret_cast<const uint32_t*>(&pair);
  }
}

// silu(gate) * up in a few instructions: a tile ends with thousands of them, and no product runs meanwhile. To 2 ulp.
__device__ __forceinline__ float silu_value(float gate, float up) {
  return __fdividef(gate, 1.0f + __expf(-gate)) * up;
}

// What is neither plain nor SiLU: biases, weights on the input, other activations.
__device__ __forceinline__ float any_value(const ExpertProduct& p, const Tile& tile, int64_t index, int column,
                                           float gate, float up) {
  if (p.input_weights != nullptr) {
    const float factor = p.input_weights[p.groups.pairs[tile.begin + column]];
    gate *= factor, up *= factor;
  }
  if (p.bias != nullptr) {
    const float* bias = p.bias + tile.expert * p.w.rows + index;
    gate += bias[0], up += bias[p.w.rows / 2];
  }
  return glu_value(p.glu, gate, up);
}

// A gate and its up, for two tokens: rows `index` of both halves.
template <End kEnd, bool kHalf>
__device__ __forceinline__ void finish_first(const ExpertProduct& p, const Tile& tile, int64_t index, int column,
                                             const float* d) {
  const bool odd = threadIdx.x % kWarp / 4 % 2 == 1;
  const int64_t inner = p.w.rows / 2;
  float value[2];
#pragma unroll
  for (int t = 0; t < 2; ++t) {
    if constexpr (kEnd == End::kSilu) {
      value[t] = silu_value(d[t], d[t + 2]);
    } else {
      const bool there = column + t < tile.n && index < inner;
      value[t] = there ? any_value(p, tile, index, column + t, d[t], d[t + 2]) : 0.0f;
    }
  }
  const float2 two = pair_up(value[0], value[1], odd);
  const int64_t row = tile.begin + column + odd, at = index - odd;  // inner is even: eight rows are all there or not
  if (column + odd < tile.n && at < inner) {
    *reinterpret_cast<uint32_t*>(static_cast<uint16_t*>(p.y.data) + row * p.y.stride + at) = two_numbers<kHalf>(two);
  }
}

__device__ __forceinline__ void finish_second(const ExpertProduct& p, const Tile& tile, int64_t output, int column,
                                              float of_a, float of_b) {
  const bool odd = threadIdx.x % kWarp / 4 % 2 == 1;
  if (p.bias != nullptr && output < p.w.rows) {
    const float bias = p.bias[tile.expert * p.w.rows + output];
    of_a += bias, of_b += bias;
  }
  const float2 two = pair_up(of_a, of_b, odd);
  const int64_t at = output - odd;
  if (column + odd >= tile.n || at >= p.w.rows) return;
  const int64_t pair = p.groups.pairs[tile.begin + column + odd];
  *reinterpret_cast<float2*>(static_cast<float*>(p.y.data) + pair * p.y.stride + at) = two;
}

template <typename V, End kEnd, bool kHalf, int kColumns>
__device__ __forceinline__ void finish(const ExpertProduct& p, const Tile& tile, const float (&d)[kColumns / 2],
                                       int group) {
  const int lane = threadIdx.x % kWarp, slab = group * 4 + static_cast<int>(threadIdx.x) % kGroupThreads / kWarp;
  const int64_t first_row = static_cast<int64_t>(tile.row_tile) * V::kRows;
  const int64_t index = first_row / 2 + slab * 8 + lane / 4, output = first_row + slab * 16 + lane / 4;
#pragma unroll
  for (int j = 0; j < kColumns / 8; ++j) {
    const int column = 8 * j + 2 * (lane % 4);
    if (8 * j >= tile.n) break;
    if constexpr (kEnd != End::kOutput) {
      finish_first<kEnd, kHalf>(p, tile, index, column, &d[4 * j]);
    } else {
      finish_second(p, tile, output, column, d[4 * j], d[4 * j + 1]);
      finish_second(p, tile, output + 8, column, d[4 * j + 2], d[4 * j + 3]);
    }
  }
}

// One tile with kColumns columns for its tokens.
template <typename V, End kEnd, bool kHalf, int kColumns>
__device__ __forceinline__ void multiply(const Problem& problem, const Tile& tile, uint8_t* stages, Ring<V>& ring,
                                         Place& place, int group) {
  float d[kColumns / 2];
#pragma unroll
  for (int i = 0; i < kColumns / 2; ++i) d[i] = 0;
  Place read = place;  // whose products are not known to be done
  for (int s = 0; s < problem.stages; ++s) {
    barrier_wait(&ring.full[place.stage], place.phase);
    const uint8_t* from = stages + place.stage * V::kStageBytes;
    const uint64_t weights = matrix_descriptor(from + group * kGroupRows * kRowBytes),
                   tokens = matrix_descriptor(from + V::kWeightBytes);
    wgmma_fence();
#pragma unroll
    for (int k = 0; k < kInputs / 16; ++k) {  // 32 bytes on
      if constexpr (kHalf) {
        wgmma_f16(d, weights + 2 * k, tokens + 2 * k);
      } else {
        wgmma_bf16(d, weights + 2 * k, tokens + 2 * k);
      }
    }
    wgmma_commit();
    if (s > 0) {
      wgmma_wait<1>();
      if (threadIdx.x % kGroupThreads == 0) barrier_arrive(&ring.empty[read.stage]);
      read.advance<V>();
    }
    place.advance<V>();
  }
  wgmma_wait<0>();
  if (threadIdx.x % kGroupThreads == 0) barrier_arrive(&ring.empty[read.stage]);

  finish<V, kEnd, kHalf, kColumns>(problem.p, tile, d, group);
}

template <typename V, End kEnd, bool kHalf>
__device__ __forceinline__ void consume(const Problem& problem, uint8_t* stages, Ring<V>& ring, const int* first_tile,
                                        int n_tiles, int group) {
  Place place;
  for (int index = blockIdx.x; index < n_tiles; index += gridDim.x) {
    const Tile tile = find_tile<V>(problem, first_tile, index);
    if (tile.n <= 8) {
      multiply<V, kEnd, kHalf, 8>(problem, tile, stages, ring, place, group);
    } else if (tile.n <= 16) {
      multiply<V, kEnd, kHalf, 16>(problem, tile, stages, ring, place, group);
    } else if (tile.n <= 32) {
      multiply<V, kEnd, kHalf, 32>(problem, tile, stages, ring, place, group);
    } else if (tile.n <= 64) {
      multiply<V, kEnd, kHalf, 64>(problem, tile, stages, ring, place, group);
    } else if constexpr (V::kTokens > 64) {
      if (tile.n <= 96) {
        multiply<V, kEnd, kHalf, 96>(problem, tile, stages, ring, place, group);
      } else if (tile.n <= 128) {
        multiply<V, kEnd, kHalf, 128>(problem, tile, stages, ring, place, group);
      } else if (tile.n <= 192) {
        multiply<V, kEnd, kHalf, 192>(problem, tile, stages, ring, place, group);
      } else {
        multiply<V, kEnd, kHalf, 256>(problem, tile, stages, ring, place, group);
      }
    }
  }
}

template <typename V, End kEnd, bool kHalf>
__global__ void __launch_bounds__(V::kThreads, V::kBlocksAnSm)
    experts_tensor_kernel(const Problem problem, const __grid_constant__ CUtensorMap weights,
                          const __grid_constant__ CUtensorMap tokens) {
  extern __shared__ uint8_t memory[];
  __shared__ Ring<V> ring;
  __shared__ int first_tile[routing::kExpertsMax + 1];
  uint8_t* stages = memory + (1024 - shared_place(memory) % 1024) % 1024;
  if (threadIdx.x == 0) {
    for (int s = 0; s < V::kStages; ++s) {
      barrier_init(&ring.full[s], 1);
      barrier_init(&ring.empty[s], V::kGroups);
    }
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
  }
  wait_for_input();
  if (threadIdx.x < kWarp) count_tiles<V>(problem.p.groups, first_tile);
  __syncthreads();
  const int n_tiles = first_tile[problem.p.groups.n_experts] * problem.row_tiles;
  const int group = static_cast<int>(threadIdx.x) / kGroupThreads;
  if (group == V::kGroups) {
    if constexpr (V::kGroups > 1) asm volatile("setmaxnreg.dec.sync.aligned.u32 24;");
    if (threadIdx.x % kGroupThreads == 0) {
      produce<V>(problem, &weights, &tokens, stages, ring, first_tile, n_tiles);
    }
  } else {
    if constexpr (V::kGroups > 1) asm volatile("setmaxnreg.inc.sync.aligned.u32 240;");
    consume<V, kEnd, kHalf>(problem, stages, ring, first_tile, n_tiles, group);
  }
}

template <typename V, End kEnd, bool kHalf>
bool launch(const ExpertProduct& p, int n_multiprocessors, cudaStream_t stream) {
  const uint64_t inputs = static_cast<uint64_t>(p.w.cols), row_bytes = static_cast<uint64_t>(p.w.stride) * 2;
  const uint64_t halves = p.first ? 2 : 1, rows = static_cast<uint64_t>(p.w.rows) / halves;
  CUtensorMap weights, tokens;
  const MapAxis of_weights[] = {{inputs, 0, kInputs},
                                {8, row_bytes, 8},
                                {halves, rows * row_bytes, static_cast<uint32_t>(halves)},
                                {rows / 8, 8 * row_bytes, static_cast<uint32_t>(V::kRows / 8 / halves)},
                                {static_cast<uint64_t>(p.w.groups), halves * rows * row_bytes, 1}};
  const MapAxis of_tokens[] = {{inputs, 0, kInputs},
                               {static_cast<uint64_t>(p.x.rows), static_cast<uint64_t>(p.x.stride) * 2, V::kBoxTokens}};
  if (!encode_tensor_map(p.w.data, of_weights, 5, !kHalf, &weights)) return false;
  if (!encode_tensor_map(p.x.data, of_tokens, 2, !kHalf, &tokens)) return false;
  static const cudaError_t raised =
      cudaFuncSetAttribute(experts_tensor_kernel<V, kEnd, kHalf>, cudaFuncAttributeMaxDynamicSharedMemorySize,
                           static_cast<int>(V::kSharedBytes));
  static_cast<void>(raised);  // a failure shows at the launch
  Problem problem{p, static_cast<int>(ceil_div(p.w.rows, V::kRows)), static_cast<int>(ceil_div(p.w.cols, kInputs))};
  const int64_t token_tiles =
      p.groups.n_pairs / V::kTokens + min(p.groups.n_pairs, static_cast<int64_t>(p.groups.n_experts));
  const int64_t blocks = min(token_tiles * problem.row_tiles, static_cast<int64_t>(n_multiprocessors) * V::kBlocksAnSm);
  launch_after(experts_tensor_kernel<V, kEnd, kHalf>, dim3(static_cast<unsigned>(blocks)), dim3(V::kThreads),
               V::kSharedBytes, stream, problem, weights, tokens);
  return true;
}

template <typename V, bool kHalf>
bool launch_end(const ExpertProduct& p, int n_multiprocessors, cudaStream_t stream) {
  if (!p.first) return launch<V, End::kOutput, kHalf>(p, n_multiprocessors, stream);
  const bool plain = p.glu.kind == GluKind::kSilu && p.bias == nullptr && p.input_weights == nullptr;
  return plain ? launch<V, End::kSilu, kHalf>(p, n_multiprocessors, stream)
               : launch<V, End::kAnyGlu, kHalf>(p, n_multiprocessors, stream);
}

template <bool kHalf>
bool launch_type(const ExpertProduct& p, int n_multiprocessors, cudaStream_t stream) {
  const bool many = p.groups.n_pairs >= Few::kTokens * static_cast<int64_t>(p.groups.n_experts);
  return many ? launch_end<Many, kHalf>(p, n_multiprocessors, stream)
              : launch_end<Few, kHalf>(p, n_multiprocessors, stream);
}

constexpr int kGatherThreads = 128;

__global__ void gather_pairs_kernel(Matrix x, Groups groups, int64_t top_k, Matrix y) {
  wait_for_input();
  let_next_begin();
  const int64_t j = blockIdx.x;
  if (j >= groups.offsets[groups.n_experts]) return;
  const auto* from =
      reinterpret_cast<const uint4*>(static_cast<const uint16_t*>(x.data) + groups.pairs[j] / top_k * x.stride);
  auto* to = reinterpret_cast<uint4*>(static_cast<uint16_t*>(y.data) + j * y.stride);
  for (int i = threadIdx.x; i < y.cols / 8; i += kGatherThreads) to[i] = from[i];
}

}  // namespace

void gather_pairs(const Matrix& x, const Groups& groups, int64_t top_k, const Matrix& y, cudaStream_t stream) {
  if (groups.n_pairs == 0) return;
  launch_after(gather_pairs_kernel, dim3(static_cast<unsigned>(groups.n_pairs)), dim3(kGatherThreads), 0, stream, x,
               groups, top_k, y);
}

bool experts_tensor_takes(const ExpertProduct& p) {
  const bool aligned =
      p.w.rows % (p.first ? 16 : 8) == 0 && p.w.stride % 8 == 0 && p.x.stride % 8 == 0 && p.y.stride % 2 == 0;
  return aligned && p.w.type != Type::kF32 && p.x.type == p.w.type;
}

bool experts_tensor(const ExpertProduct& p, int n_multiprocessors, cudaStream_t stream) {
  if (p.groups.n_pairs == 0) return true;
  if (!experts_tensor_takes(p)) return false;
  return p.w.type == Type::kF16 ? launch_type<true>(p, n_multiprocessors, stream)
                                : launch_type<false>(p, n_multiprocessors, stream);
}

}  // namespace polymath::backend::cuda
