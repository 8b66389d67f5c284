// The experts of a single token and a shared expert, both GEMVs in one launch. Bound by the weights' bytes.
//
// A persistent block an SM, all co-resident. The block's rows are dealt to its warps. A warp copies its own rows ahead
// into its own ring, two rows of the same inputs at a time. They are a gate and its up, then two outputs. So warps meet
// only between the GEMVs, and the rings meanwhile fill with the second one's weights.
//
// A shared expert does not depend on the routing. So its rows come first, fetched before the block waits for its input.

#include "backend/cuda/device_math.cuh"
#include "backend/cuda/experts/experts.h"
#include "backend/cuda/experts/grid_barrier.cuh"
#include "backend/cuda/launch.cuh"
#include "backend/cuda/wgmma.cuh"

namespace polymath::backend::cuda {
namespace {

constexpr int kWarps = 16, kThreads = kWarps * kWarp;
constexpr int kChunk = 512;  // inputs of a row that are copied at once
constexpr int kRowBytes = kChunk * 2, kSlotBytes = 2 * kRowBytes;
constexpr int kSlots = 2;  // of a warp's ring: more in flight is slower and takes the next kernel's room
constexpr int kWord = 8;   // elements of 16 bytes
constexpr size_t kSharedMost = 224 * 1024;  // and little more that is static

struct Work {
  MoeDecode1 p;
  int cols, intermediate, shared_intermediate, outputs;
  int parts;                         // of an output's inputs: a choice's, or as many of the shared network's
  float of_inner = 0, of_parts = 0;  // 1 / intermediate, 1 / parts
};

// Two rows and their common inputs: n elements from `x` on in shared memory. n 0: expert -1.
struct Item {
  const __nv_bfloat16 *a, *b;
  int n, x;
};

// The block's share: rows of the first GEMV, then rows times parts of the second.
struct Share {
  int n_first, n_second, n_pairs;
  __device__ __forceinline__ explicit Share(const Work& w) {
    const int block = static_cast<int>(blockIdx.x), blocks = static_cast<int>(gridDim.x);
    n_first = (w.p.n_choices * w.intermediate + w.shared_intermediate - block + blocks - 1) / blocks;
    n_pairs = ((w.outputs + 1) / 2 - block + blocks - 1) / blocks;
    n_second = n_pairs * w.parts;
  }
};
__device__ __forceinline__ int nth_of_block(int i) { return static_cast<int>(blockIdx.x + i * gridDim.x); }

// One wide multiplication: the weight has fewer than 2^31 rows, a row fewer elements.
__device__ __forceinline__ const __nv_bfloat16* row_of(const WeightMatrix& w, int expert, int row) {
  const int index = expert * static_cast<int>(w.rows) + row;
  return static_cast<const __nv_bfloat16*>(w.data) + static_cast<int64_t>(index) * static_cast<int>(w.stride);
}

__device__ __forceinline__ Item first_item(const Work& w, const int32_t* experts, int row) {
  const bool shared = row < w.shared_intermediate;
  const WeightMatrix& weight = shared ? w.p.shared_gate_up : w.p.gate_up;
  const int intermediate = shared ? w.shared_intermediate : w.intermediate;
  const Division choice(shared ? 0 : row - w.shared_intermediate, w.intermediate, w.of_inner);
  const int expert = shared ? 0 : experts[choice.quotient], in_network = shared ? row : choice.rest;
  if (expert < 0) return {nullptr, nullptr, 0, 0};
  return {row_of(weight, expert, in_network), row_of(weight, expert, in_network + intermediate), w.cols, 0};
}

__device__ __forceinline__ Item second_item(const Work& w, const int32_t* experts, int pair, int part) {
  const bool shared = part >= w.p.n_choices;
  const WeightMatrix& weight = shared ? w.p.shared_down : w.p.down;
  const int from = shared ? (part - w.p.n_choices) * w.intermediate : 0, expert = shared ? 0 : experts[part];
  if (expert < 0) return {nullptr, nullptr, 0, 0};
  const __nv_bfloat16* const a = row_of(weight, expert, 2 * pair) + from;
  return {a, 2 * pair + 1 < w.outputs ? a + weight.stride : a,
          shared ? min(w.intermediate, w.shared_intermediate - from) : w.intermediate, part * w.intermediate};
}

__device__ __forceinline__ Item item_of(const Work& w, const Share& share, const int32_t* experts, int i) {
  if (i < share.n_first) return first_item(w, experts, nth_of_block(i));
  const Division pair(i - share.n_first, w.parts, w.of_parts);
  return second_item(w, experts, nth_of_block(pair.quotient), pair.rest);
}

// A warp's ring, and the progress of its copies.
class Ring {
 public:
  __device__ __forceinline__ Ring(const Work& w, const Share& share, const int32_t* experts, uint8_t* slots,
                                  uint64_t* full)
      : w_(w), share_(share), experts_(experts), slots_(slots), full_(full) {
    item_ = static_cast<int>(threadIdx.x) / kWarp - kWarps;
    if (threadIdx.x % kWarp == 0) {
      for (int i = 0; i < kSlots; ++i) barrier_init(&full_[i], 1);
      publish_barriers();
    }
    __syncwarp();
  }

  // Starts copies until the ring is full. Before the choices are known: of the shared expert alone.
  __device__ __forceinline__ void fill(bool choices_known) {
    while (begun_ - read_ < kSlots && copy_next(choices_known)) {
    }
  }
  // The next chunk's two rows, once they have arrived.
  __device__ __forceinline__ const uint8_t* next() {
    barrier_wait(&full_[read_slot_], read_phase_);
    return slots_ + read_slot_ * kSlotBytes;
  }
  // To be called by all lanes after reading.
  __device__ __forceinline__ void done() {
    __syncwarp();
    ++read_;
    if (++read_slot_ == kSlots) read_slot_ = 0, read_phase_ ^= 1;
    copy_next(true);
  }

 private:
  __device__ __forceinline__ bool copy_next(bool choices_known) {
    while (at_ == current_.n) {
      const int next = item_ + kWarps;
      if (next >= share_.n_first + share_.n_second) return false;
      if (!choices_known && (next >= share_.n_first || nth_of_block(next) >= w_.shared_intermediate)) return false;
      item_ = next;
      current_ = item_of(w_, share_, experts_, next);
      at_ = 0;
    }
    const int n = min(kChunk, current_.n - at_);
    if (threadIdx.x % kWarp == 0) {
      uint8_t* to = slots_ + begun_slot_ * kSlotBytes;
      barrier_expect(&full_[begun_slot_], static_cast<uint32_t>(4 * n));
      copy_bulk(to, current_.a + at_, static_cast<uint32_t>(2 * n), &full_[begun_slot_], policy_);
      copy_bulk(to + kRowBytes, current_.b + at_, static_cast<uint32_t>(2 * n), &full_[begun_slot_], policy_);
    }
    at_ += n;
    ++begun_;
    if (++begun_slot_ == kSlots) begun_slot_ = 0;
    return true;
  }

  const Work& w_;
  const Share& share_;
  const int32_t* experts_;
  uint8_t* slots_;
  uint64_t* full_;
  uint64_t policy_ = read_once();
  int item_, at_ = 0;  // of the next copy
  Item current_{nullptr, nullptr, 0, 0};
  int begun_ = 0, begun_slot_ = 0, read_ = 0, read_slot_ = 0;
  uint32_t read_phase_ = 0;
};

// A lane's words of both rows and of their inputs. Past the end: inputs of zero.
struct Words {
  uint4 a, b, x;
  __device__ __forceinline__ Words(const uint4* weights, const uint4* inputs, int left) {
    const int lane = threadIdx.x % kWarp, word = min(lane, left - 1);
    a = weights[word], b = weights[kRowBytes / 16 + word], x = inputs[word];
    if (lane >= left) x = make_uint4(0, 0, 0, 0);
  }
  // Both rows are the rows of one operand, inputs the columns of the other: the diagonals hold the sums.
  __device__ __forceinline__ void multiply(float (&d)[4]) const {
    mma_bf16(d, a.x, b.x, a.y, b.y, x.x, x.y);
    mma_bf16(d, a.z, b.z, a.w, b.w, x.z, x.w);
  }
};
// A diagonal's sum, in the first lane. Lanes 4 g + g / 2 hold its elements: three steps lead from each to the others.
__device__ __forceinline__ float diagonal(float even, float odd) {
  const int lane = threadIdx.x % kWarp, column = lane / 4 - lane % 4 * 2;
  float v = column == 0 ? even : column == 1 ? odd : 0.0f;
  v += __shfl_xor_sync(kAllLanes, v, 4);
  v += __shfl_xor_sync(kAllLanes, v, 9);
  return v + __shfl_xor_sync(kAllLanes, v, 18);
}

// Sums of both rows, in the first lane. x: the GEMV's inputs in shared memory.
__device__ __forceinline__ float2 multiply(Ring& ring, const Item& item, const uint8_t* x) {
  static_assert(kChunk == 2 * kWarp * kWord);
  float d[2][4] = {};
  for (int at = 0; at < item.n; at += kChunk) {
    const int words = min(kChunk, item.n - at) / kWord;
    const auto* const weights = reinterpret_cast<const uint4*>(ring.next());
    const auto* const inputs = reinterpret_cast<const uint4*>(x + (item.x + at) * 2);
    const Words first(weights, inputs, words);
    if (words > kWarp) {
      const Words second(weights + kWarp, inputs + kWarp, words - kWarp);
      first.multiply(d[0]);
      second.multiply(d[1]);
    } else {
      first.multiply(d[0]);
    }
    ring.done();
  }
  return {diagonal(d[0][0] + d[1][0], d[0][1] + d[1][1]), diagonal(d[0][2] + d[1][2], d[0][3] + d[1][3])};
}

__device__ __forceinline__ void fetch_inputs(const void* from, int n, uint8_t* to) {
  for (int i = threadIdx.x; i < n / kWord; i += kThreads) {
    reinterpret_cast<uint4*>(to)[i] = __ldcg(static_cast<const uint4*>(from) + i);
  }
}

// Routing weights: multiply the first GEMV's outputs.
struct Factors {
  float of_choice[kMoeDecodeTopKMax], of_shared;
};
__device__ __forceinline__ void write_intermediate(const Work& w, const Factors& factors, int row, float2 sums) {
  const bool shared = row < w.shared_intermediate;
  const Division choice(shared ? 0 : row - w.shared_intermediate, w.intermediate, w.of_inner);
  const float factor = shared ? factors.of_shared : factors.of_choice[choice.quotient];
  const int to = shared ? w.p.n_choices * w.intermediate + row : row - w.shared_intermediate;
  static_cast<__nv_bfloat16*>(w.p.intermediate)[to] = __float2bfloat16_rn(factor * glu_value(w.p.glu, sums.x, sums.y));
}

// The register bound leaves room for the next kernel's blocks, which wait on the same SM.
__global__ void __launch_bounds__(kThreads + 256, 1) moe_decode_1_kernel(const __grid_constant__ Work w) {
  extern __shared__ __align__(128) uint8_t memory[];
  __shared__ uint64_t full[kWarps][kSlots];
  __shared__ int32_t experts[kMoeDecodeTopKMax];
  __shared__ Factors factors;
  const int warp = static_cast<int>(threadIdx.x) / kWarp, at = static_cast<int>(threadIdx.x);
  const bool one = threadIdx.x % kWarp == 0;
  const Share share(w);
  uint8_t* const x = memory + kWarps * kSlots * kSlotBytes;
  const int x_elements = max(w.cols, w.p.n_choices * w.intermediate + w.shared_intermediate);
  auto* const parts = reinterpret_cast<float2*>(x + 2 * x_elements);  // [n_second]: of both rows
  Ring ring(w, share, experts, memory + warp * kSlots * kSlotBytes, full[warp]);
  ring.fill(false);
  wait_for_input();
  let_next_begin();
  if (at < w.p.n_choices) {
    experts[at] = w.p.experts[at];
    factors.of_choice[at] = w.p.factors != nullptr ? w.p.factors[at] : 1.0f;
  }
  if (at == 0) factors.of_shared = w.p.shared_factors != nullptr ? w.p.shared_factors[0] : 1.0f;
  fetch_inputs(w.p.x.data, w.cols, x);
  __syncthreads();
  ring.fill(true);
  const int output = 2 * nth_of_block(at / 2) + at % 2;
  const bool mine = at < 2 * share.n_pairs && output < w.outputs;
  const float before = mine ? polymath::backend::cuda::at(w.p.y, 0, output) : 0.0f;
  int i = warp;
  for (; i < share.n_first; i += kWarps) {
    const int row = nth_of_block(i);
    const float2 sums = multiply(ring, first_item(w, experts, row), x);
    if (one) write_intermediate(w, factors, row, sums);
  }
  meet(w.p.counter);
  fetch_inputs(w.p.intermediate, w.p.n_choices * w.intermediate + w.shared_intermediate, x);
  __syncthreads();
  for (; i < share.n_first + share.n_second; i += kWarps) {
    const float2 sums = multiply(ring, item_of(w, share, experts, i), x);
    if (one) parts[i - share.n_first] = sums;
  }
  __syncthreads();
  if (!mine) return;
  float sum = 0;
  for (int part = 0; part < w.parts; ++part) {
    const float2 both = parts[at / 2 * w.parts + part];
    sum += at % 2 == 0 ? both.x : both.y;
  }
  put(w.p.y, 0, output, before + w.p.scale * sum);
}

size_t shared_bytes(const Work& w, int64_t pairs) {
  const auto elements = static_cast<size_t>(max(w.cols, w.p.n_choices * w.intermediate + w.shared_intermediate));
  const size_t rest = elements * 2 + static_cast<size_t>(pairs * w.parts) * sizeof(float2);
  return static_cast<size_t>(kWarps * kSlots) * kSlotBytes + rest;
}

Work work_of(const MoeDecode1& p) {
  Work w{.p = p,
         .cols = static_cast<int>(p.gate_up.cols),
         .intermediate = static_cast<int>(p.down.cols),
         .shared_intermediate = static_cast<int>(p.shared_down.cols),
         .outputs = static_cast<int>(p.down.rows),
         .parts = 0};
  w.parts = p.n_choices + static_cast<int>(ceil_div(w.shared_intermediate, w.intermediate));
  w.of_inner = 1.0f / static_cast<float>(w.intermediate), w.of_parts = 1.0f / static_cast<float>(w.parts);
  return w;
}

// Output pairs of a block.
int64_t pairs_of_block(const Work& w, int n_multiprocessors) {
  return ceil_div(ceil_div(w.outputs, 2), n_multiprocessors);
}

}  // namespace

bool moe_decode_1_fits(const MoeDecode1& p, int n_multiprocessors) {
  const Work w = work_of(p);
  const int64_t pairs = pairs_of_block(w, n_multiprocessors);
  return w.cols % kWord == 0 && w.intermediate % kWord == 0 && w.shared_intermediate % kWord == 0 &&
         shared_bytes(w, pairs) <= kSharedMost && 2 * pairs <= kThreads;
}

void moe_decode_1(const MoeDecode1& p, int n_multiprocessors, cudaStream_t stream) {
  const Work w = work_of(p);
  const size_t bytes = shared_bytes(w, pairs_of_block(w, n_multiprocessors));
  allow_shared<moe_decode_1_kernel>(kSharedMost);
  // Request the maximum shared-memory carveout. Otherwise the driver sizes it for this kernel alone, and the next
  // GEMM's block cannot be co-resident.
  set_once<moe_decode_1_kernel, cudaFuncAttributePreferredSharedMemoryCarveout>(cudaSharedmemCarveoutMaxShared);
  launch_after(moe_decode_1_kernel, {dim3(static_cast<unsigned>(n_multiprocessors)), dim3(kThreads), bytes, stream}, w);
}

}  // namespace polymath::backend::cuda
