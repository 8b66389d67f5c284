#pragma once

// The experts of a single token and a shared expert, both GEMVs in one launch, with packed weights. Bound by the
// weights' bytes.
//
// A persistent block an SM, all co-resident. A block has slabs of 16 rows, and its sixteen warps share a slab's inputs.
// A warp copies its own cells ahead into its own ring. It multiplies them by mma.sync, whose eight columns all are the
// one token. Sums over the warps are made once a GEMV, before the grid's barrier. The rings meanwhile fill with the
// second GEMV's weights.
//
// A shared expert does not depend on the routing. So its slabs come first, fetched before the block waits for its
// input.

#include "backend/cuda/device_math.cuh"
#include "backend/cuda/experts/experts.h"
#include "backend/cuda/experts/grid_barrier.cuh"
#include "backend/cuda/launch.cuh"
#include "backend/cuda/packed/cell_codes.cuh"
#include "backend/cuda/wgmma.cuh"

namespace polymath::backend::cuda {
namespace packed_decode_1 {

constexpr int kWarps = 16, kThreads = kWarps * kWarp;
constexpr size_t kSharedMost = 224 * 1024;       // and little more that is static
constexpr int kCellInputBytes = kCellCols * 2;   // of the token
constexpr int kSumsOfSlab = kWarps * kCellRows;  // floats
constexpr int kRingBytes = 84 * 1024;            // more in flight takes the next kernel's room

template <class C1, class C2>
struct Form {
  static constexpr int kCellBytes = C1::kBytes > C2::kBytes ? C1::kBytes : C2::kBytes;
  static constexpr int kChunkCells = kCellBytes > 800 ? 2 : 4;  // that are copied at once
  static constexpr int kSlotBytes = (kChunkCells * kCellBytes + 127) / 128 * 128;
  static constexpr int kSlots = kRingBytes / (kWarps * kSlotBytes);
  static_assert(kSlots >= 2);
};

struct Work {
  MoeDecode1 p;
  int slabs, shared_slabs, cells;          // of the first GEMV: an expert's, the shared one's; of a slab
  int out_slabs, out_cells, shared_cells;  // of the second: all; of a slab's choice, of the shared part
  int intermediate, shared_intermediate;
  float of_slabs = 0, of_out_cells = 0;  // 1 / slabs, 1 / out_cells
};

// Cells of a slab that lie one after the other; null: of expert -1.
struct Run {
  const uint8_t* from = nullptr;
  int cells = 0;
};

// A block's slabs in order, and a warp's share of the cells of each.
template <class C1, class C2>
class Share {
 public:
  __device__ __forceinline__ Share(const Work& w, const int32_t* experts) : w_(w), experts_(experts) {
    const int block = static_cast<int>(blockIdx.x), blocks = static_cast<int>(gridDim.x);
    n_first = (w.p.n_choices * w.slabs + w.shared_slabs - block + blocks - 1) / blocks;
    n_second = (w.out_slabs - block + blocks - 1) / blocks;
  }
  __device__ __forceinline__ static int nth(int i) { return static_cast<int>(blockIdx.x + i * gridDim.x); }
  __device__ __forceinline__ bool before_routing(int item) const {
    return item < n_first && nth(item) < w_.shared_slabs;
  }
  // The warp's first cell of an item, and with the next warp the one past its last.
  __device__ __forceinline__ int begin(int item, int warp) const {
    const int all = item < n_first ? w_.cells : w_.p.n_choices * w_.out_cells + w_.shared_cells;
    return warp * all / kWarps;
  }
  // From cell `at` on, before `end`.
  __device__ __forceinline__ Run run(int item, int at, int end) const {
    return item < n_first ? first(nth(item), at, end) : second(nth(item - n_first), at, end);
  }

  int n_first, n_second;

 private:
  __device__ __forceinline__ Run first(int slab, int at, int end) const {
    const bool shared = slab < w_.shared_slabs;
    const Division choice(shared ? 0 : slab - w_.shared_slabs, w_.slabs, w_.of_slabs);
    const int expert = shared ? 0 : experts_[choice.quotient];
    if (expert < 0) return {nullptr, end - at};
    const WeightMatrix& weight = shared ? w_.p.shared_gate_up : w_.p.gate_up;
    const int64_t of_expert = shared ? slab : static_cast<int64_t>(expert) * w_.slabs + choice.rest;
    return {static_cast<const uint8_t*>(weight.data) + (of_expert * w_.cells + at) * C1::kBytes, end - at};
  }
  __device__ __forceinline__ Run second(int slab, int at, int end) const {
    const int routed = w_.p.n_choices * w_.out_cells;
    const bool shared = at >= routed;
    const Division choice(shared ? 0 : at, w_.out_cells, w_.of_out_cells);
    const int expert = shared ? 0 : experts_[choice.quotient], cells = shared ? w_.shared_cells : w_.out_cells;
    const int cell = shared ? at - routed : choice.rest, n = min(end - at, cells - cell);
    if (expert < 0) return {nullptr, n};
    const WeightMatrix& weight = shared ? w_.p.shared_down : w_.p.down;
    const int64_t of_expert = static_cast<int64_t>(expert) * w_.out_slabs + slab;
    return {static_cast<const uint8_t*>(weight.data) + (of_expert * cells + cell) * C2::kBytes, n};
  }

  const Work& w_;
  const int32_t* experts_;
};

// What a slot of a ring has.
struct Chunk {
  int x;      // the token's first cell in shared memory
  int cells;  // 0: nothing to multiply
  int last;   // of its item
};

// A warp's ring, and the progress of its copies. Each item has at least one chunk.
template <class C1, class C2>
class CellRing {
 public:
  using F = Form<C1, C2>;
  using S = Share<C1, C2>;
  struct Memory {
    uint64_t full[F::kSlots];
    Chunk chunks[F::kSlots];
  };
  __device__ __forceinline__ CellRing(const S& share, uint8_t* slots, Memory& memory)
      : share_(share), slots_(slots), memory_(memory) {
    if (threadIdx.x % kWarp == 0) {
      for (int i = 0; i < F::kSlots; ++i) barrier_init(&memory_.full[i], 1);
      publish_barriers();
    }
    __syncwarp();
  }
  // Starts copies until the ring is full. Before the choices are known: of the shared expert alone.
  __device__ __forceinline__ void fill(bool choices_known) {
    while (begun_ - read_ < F::kSlots && copy_next(choices_known)) {
    }
  }
  // The next chunk, once it has arrived.
  __device__ __forceinline__ Chunk next() const {
    barrier_wait(&memory_.full[read_slot_], read_phase_);
    return memory_.chunks[read_slot_];
  }
  __device__ __forceinline__ const uint8_t* cells() const { return slots_ + read_slot_ * F::kSlotBytes; }
  // To be called by all lanes after reading.
  __device__ __forceinline__ void done() {
    __syncwarp();
    ++read_;
    if (++read_slot_ == F::kSlots) read_slot_ = 0, read_phase_ ^= 1;
    copy_next(true);
  }

 private:
  __device__ __forceinline__ bool copy_next(bool choices_known) {
    const int warp = static_cast<int>(threadIdx.x) / kWarp;
    if (at_ == end_) {
      const int item = item_ + 1;
      if (item >= share_.n_first + share_.n_second || (!choices_known && !share_.before_routing(item))) return false;
      item_ = item, at_ = share_.begin(item, warp), end_ = share_.begin(item, warp + 1), run_.cells = 0;
    }
    if (run_.cells == 0 && at_ < end_) run_ = share_.run(item_, at_, end_);
    const bool there = run_.from != nullptr;
    const int passed = there ? min(F::kChunkCells, run_.cells) : run_.cells;
    const int bytes = passed * (item_ < share_.n_first ? C1::kBytes : C2::kBytes);
    if (threadIdx.x % kWarp == 0) {
      memory_.chunks[begun_slot_] = {at_, there ? passed : 0, at_ + passed == end_};
      uint64_t* const full = &memory_.full[begun_slot_];
      if (there && passed > 0) {
        barrier_expect(full, static_cast<uint32_t>(bytes));
        copy_bulk(slots_ + begun_slot_ * F::kSlotBytes, run_.from, static_cast<uint32_t>(bytes), full, policy_);
      } else {
        barrier_arrive(full);
      }
    }
    if (there) run_.from += bytes;
    at_ += passed, run_.cells -= passed;
    ++begun_;
    if (++begun_slot_ == F::kSlots) begun_slot_ = 0;
    return true;
  }

  const S& share_;
  uint8_t* slots_;
  Memory& memory_;
  uint64_t policy_ = read_once();
  int item_ = -1, at_ = 0, end_ = 0;  // of the next copy
  Run run_;
  int begun_ = 0, begun_slot_ = 0, read_ = 0, read_slot_ = 0;
  uint32_t read_phase_ = 0;
};

// A cell times its inputs. x: the cell's inputs, lane by lane as mma's second operand.
template <class C>
__device__ __forceinline__ void multiply_cell(const uint8_t* cell, const uint8_t* x, float (&d)[2][4]) {
  const typename C::Words words = C::load(cell);
  const auto* const inputs = reinterpret_cast<const uint4*>(x) + threadIdx.x % 4 * 2;
  const uint4 low = inputs[0], high = inputs[1];
  uint32_t a[4];
  C::template fragments<0>(words, a);
  mma_bf16(d[0], a[0], a[1], a[2], a[3], low.x, low.y);
  C::template fragments<1>(words, a);
  mma_bf16(d[1], a[0], a[1], a[2], a[3], low.z, low.w);
  C::template fragments<2>(words, a);
  mma_bf16(d[0], a[0], a[1], a[2], a[3], high.x, high.y);
  C::template fragments<3>(words, a);
  mma_bf16(d[1], a[0], a[1], a[2], a[3], high.z, high.w);
}

// The warp's sums of the next item, to its place among those of the slab.
template <class C, class R>
__device__ __forceinline__ void multiply_item(R& ring, const uint8_t* x, float* sums) {
  const int lane = threadIdx.x % kWarp, warp = static_cast<int>(threadIdx.x) / kWarp;
  float d[2][4] = {};
  for (bool last = false; !last;) {
    const Chunk chunk = ring.next();
    const uint8_t *cells = ring.cells(), *inputs = x + chunk.x * kCellInputBytes;
    for (int i = 0; i < chunk.cells; ++i, cells += C::kBytes, inputs += kCellInputBytes) {
      multiply_cell<C>(cells, inputs, d);
    }
    last = chunk.last != 0;
    ring.done();
  }
  if (lane % 4 != 0) return;
  float* const own = sums + warp * kCellRows + lane / 4;
  own[0] = C::kFactor * (d[0][0] + d[1][0]);
  own[kCellRows / 2] = C::kFactor * (d[0][2] + d[1][2]);
}

// Over the warps.
__device__ __forceinline__ float sum_of_slab(const float* sums, int row) {
  float sum = 0;
#pragma unroll
  for (int warp = 0; warp < kWarps; ++warp) sum += sums[warp * kCellRows + row];
  return sum;
}

// n inputs from `from` on as cells, in the order that multiply_cell() reads; zeros past the last one.
__device__ __forceinline__ void fetch_inputs(const void* from, int n, uint8_t* to) {
  constexpr int kElements = 8;  // of a word
  const int words = (n + kCellCols - 1) / kCellCols * (kCellCols / kElements);
  for (int i = threadIdx.x; i < words; i += kThreads) {
    uint4 v = make_uint4(0, 0, 0, 0);
    if (i * kElements < n) v = __ldcg(static_cast<const uint4*>(from) + i);
    // A word has the pairs of one half of a step, for lanes 0 to 3.
    uint8_t* const place = to + i / 8 * kCellInputBytes + i % 8 * 4;
    *reinterpret_cast<uint32_t*>(place) = v.x;
    *reinterpret_cast<uint32_t*>(place + 32) = v.y;
    *reinterpret_cast<uint32_t*>(place + 64) = v.z;
    *reinterpret_cast<uint32_t*>(place + 96) = v.w;
  }
}

// Routing weights: multiply the first GEMV's outputs.
struct Factors {
  float of_choice[kMoeDecodeTopKMax], of_shared;
};
__device__ __forceinline__ void write_intermediate(const Work& w, const Factors& factors, int slab, int row,
                                                   const float* sums) {
  const bool shared = slab < w.shared_slabs;
  const Division choice(shared ? 0 : slab - w.shared_slabs, w.slabs, w.of_slabs);
  const float factor = shared ? factors.of_shared : factors.of_choice[choice.quotient];
  const int index = (shared ? slab : choice.rest) * (kCellRows / 2) + row;
  if (index >= (shared ? w.shared_intermediate : w.intermediate)) return;
  const float gate = sum_of_slab(sums, row), up = sum_of_slab(sums, row + kCellRows / 2);
  const int to = (shared ? w.p.n_choices : choice.quotient) * w.intermediate + index;
  static_cast<__nv_bfloat16*>(w.p.intermediate)[to] = __float2bfloat16_rn(factor * glu_value(w.p.glu, gate, up));
}

// The register bound leaves room for the next kernel's blocks, which wait on the same SM.
template <class C1, class C2>
__global__ void __launch_bounds__(kThreads + 256, 1) packed_decode_1_kernel(const __grid_constant__ Work w) {
  using F = Form<C1, C2>;
  extern __shared__ __align__(128) uint8_t memory[];
  __shared__ typename CellRing<C1, C2>::Memory rings[kWarps];
  __shared__ int32_t experts[kMoeDecodeTopKMax];
  __shared__ Factors factors;
  const int warp = static_cast<int>(threadIdx.x) / kWarp, at = static_cast<int>(threadIdx.x);
  const Share<C1, C2> share(w, experts);
  uint8_t* const x = memory + kWarps * F::kSlots * F::kSlotBytes;
  const int x_cells = max(w.cells, w.p.n_choices * w.out_cells + w.shared_cells);
  auto* const sums = reinterpret_cast<float*>(x + x_cells * kCellInputBytes);
  CellRing<C1, C2> ring(share, memory + warp * F::kSlots * F::kSlotBytes, rings[warp]);
  ring.fill(false);
  wait_for_input();
  let_next_begin();
  if (at < w.p.n_choices) {
    experts[at] = w.p.experts[at];
    factors.of_choice[at] = w.p.factors != nullptr ? w.p.factors[at] : 1.0f;
  }
  if (at == 0) factors.of_shared = w.p.shared_factors != nullptr ? w.p.shared_factors[0] : 1.0f;
  fetch_inputs(w.p.x.data, static_cast<int>(w.p.gate_up.cols), x);
  __syncthreads();
  ring.fill(true);
  for (int i = 0; i < share.n_first; ++i) {
    multiply_item<C1>(ring, x, sums + i * kSumsOfSlab);
  }
  __syncthreads();
  for (int i = at; i < share.n_first * (kCellRows / 2); i += kThreads) {
    const int item = i / (kCellRows / 2);
    write_intermediate(w, factors, share.nth(item), i % (kCellRows / 2), sums + item * kSumsOfSlab);
  }
  meet(w.p.counter);
  const auto* const inner = static_cast<const __nv_bfloat16*>(w.p.intermediate);
  for (int c = 0; c < w.p.n_choices; ++c) {
    fetch_inputs(inner + c * w.intermediate, w.intermediate, x + c * w.out_cells * kCellInputBytes);
  }
  if (w.shared_cells > 0) {
    fetch_inputs(inner + w.p.n_choices * w.intermediate, w.shared_intermediate,
                 x + w.p.n_choices * w.out_cells * kCellInputBytes);
  }
  __syncthreads();
  for (int i = 0; i < share.n_second; ++i) {
    multiply_item<C2>(ring, x, sums + i * kSumsOfSlab);
  }
  __syncthreads();
  for (int i = at; i < share.n_second * kCellRows; i += kThreads) {
    const int item = i / kCellRows;
    const int64_t row = static_cast<int64_t>(share.nth(item)) * kCellRows + i % kCellRows;
    if (row >= w.p.down.rows) continue;
    const float sum = sum_of_slab(sums + item * kSumsOfSlab, i % kCellRows);
    put(w.p.y, 0, row, polymath::backend::cuda::at(w.p.y, 0, row) + w.p.scale * sum);
  }
}

inline Work work_of(const MoeDecode1& p) {
  const CellGrid first = p.gate_up.grid(), second = p.down.grid();
  Work w{.p = p,
         .slabs = static_cast<int>(first.slabs),
         .shared_slabs = static_cast<int>(p.shared_gate_up.grid().slabs),
         .cells = static_cast<int>(first.cells),
         .out_slabs = static_cast<int>(second.slabs),
         .out_cells = static_cast<int>(second.cells),
         .shared_cells = static_cast<int>(p.shared_down.grid().cells),
         .intermediate = static_cast<int>(p.down.cols),
         .shared_intermediate = static_cast<int>(p.shared_down.cols)};
  w.of_slabs = 1.0f / static_cast<float>(w.slabs), w.of_out_cells = 1.0f / static_cast<float>(w.out_cells);
  return w;
}

template <class C1, class C2>
size_t shared_bytes(const Work& w, int n_multiprocessors) {
  using F = Form<C1, C2>;
  const int64_t first = ceil_div(w.p.n_choices * w.slabs + w.shared_slabs, n_multiprocessors);
  const int64_t second = ceil_div(w.out_slabs, n_multiprocessors);
  const int64_t cells = max(w.cells, w.p.n_choices * w.out_cells + w.shared_cells);
  return static_cast<size_t>(kWarps * F::kSlots * F::kSlotBytes + cells * kCellInputBytes +
                             max(first, second) * kSumsOfSlab * 4);
}

template <class C1, class C2>
bool fits(const MoeDecode1& p, int n_multiprocessors) {
  const Work w = work_of(p);
  return p.gate_up.cols % 8 == 0 && w.intermediate % 8 == 0 && w.shared_intermediate % 8 == 0 &&
         shared_bytes<C1, C2>(w, n_multiprocessors) <= kSharedMost;
}

template <class C1, class C2>
void run(const MoeDecode1& p, int n_multiprocessors, cudaStream_t stream) {
  const Work w = work_of(p);
  constexpr auto kernel = packed_decode_1_kernel<C1, C2>;
  allow_shared<kernel>(kSharedMost);
  // As moe_decode_1.cu: or the next GEMM's block cannot be co-resident.
  set_once<kernel, cudaFuncAttributePreferredSharedMemoryCarveout>(cudaSharedmemCarveoutMaxShared);
  launch_after(kernel,
               {dim3(static_cast<unsigned>(n_multiprocessors)), dim3(kThreads),
                shared_bytes<C1, C2>(w, n_multiprocessors), stream},
               w);
}

}  // namespace packed_decode_1
}  // namespace polymath::backend::cuda
