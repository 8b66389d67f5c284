// A one-shot all-reduce: a chunk crosses NVLink once, then a flag. Memory order: PTX ISA, "Memory Consistency Model".

#include <algorithm>

#include "backend/cuda/collectives/exchange.h"
#include "backend/cuda/launch.cuh"

namespace polymath::backend::cuda {
namespace {

constexpr int kThreads = 512;

__device__ __forceinline__ void send_flag(unsigned* flag, unsigned epoch) {
  asm volatile("st.release.sys.global.u32 [%0], %1;" ::"l"(flag), "r"(epoch) : "memory");
}
__device__ __forceinline__ uint64_t nanoseconds() {
  uint64_t now;
  asm volatile("mov.u64 %0, %globaltimer;" : "=l"(now));
  return now;
}
// A peer that has failed sends nothing: the trap is this device's failure, which ends the process.
constexpr uint64_t kWaitNs = uint64_t{10} * 1000 * 1000 * 1000;

// Epochs wrap around.
__device__ __forceinline__ void await_flag(const unsigned* flag, unsigned epoch) {
  const uint64_t begin = nanoseconds();
  for (unsigned seen, spins = 1;; ++spins) {
    asm volatile("ld.acquire.sys.global.u32 %0, [%1];" : "=r"(seen) : "l"(flag) : "memory");
    if (static_cast<int>(seen - epoch) >= 0) return;
    if (spins % 1024 == 0 && nanoseconds() - begin > kWaitNs) __trap();
  }
}

// Where a flat index of the part lies in the result of a gather.
struct GatherTarget {
  float* all = nullptr;
  int64_t cols = 0, stride = 0;
  __device__ float* at(int rank, int64_t i) const { return all + i / cols * stride + rank * cols + i % cols; }
};

struct Job {
  const float* in = nullptr;
  float* out = nullptr;  // of a sum
  int64_t n = 0;
  int64_t chunk = 0;  // floats of a block at once
  GatherTarget target;
};

constexpr int64_t kSender = kExchangeBlocks * kExchangeChunk;  // floats of a sender in half an inbox

// A rank's part of what this thread finishes.
template <typename V>
__device__ __forceinline__ V part_of(const Exchange& e, int rank, const float* own, const float* inbox) {
  if (rank == e.at) return *reinterpret_cast<const V*>(own);
  return __ldcg(reinterpret_cast<const V*>(inbox + rank * kSender));
}

__device__ __forceinline__ void add(float& a, float b) { a += b; }
__device__ __forceinline__ void add(float4& a, float4 b) { a.x += b.x, a.y += b.y, a.z += b.z, a.w += b.w; }

// In the order of the ranks, so that all ranks get the same bits.
template <typename V>
struct Sum {
  __device__ static void finish(const Exchange& e, const Job& job, const float* inbox, int64_t at, int64_t i) {
    V total{};
    for (int r = 0; r < e.size; ++r) add(total, part_of<V>(e, r, job.in + at, inbox + i));
    *reinterpret_cast<V*>(job.out + at) = total;
  }
};

template <typename V>
struct Gather {
  __device__ static void finish(const Exchange& e, const Job& job, const float* inbox, int64_t at, int64_t i) {
    for (int r = 0; r < e.size; ++r)
      *reinterpret_cast<V*>(job.target.at(r, at)) = part_of<V>(e, r, job.in + at, inbox + i);
  }
};

// To every peer: the block's chunk at `to` in its inbox.
template <typename V>
__device__ __forceinline__ void send(const Exchange& e, const float* chunk, int64_t n, int64_t to) {
  constexpr int kWidth = sizeof(V) / sizeof(float);
  for (int64_t i = threadIdx.x * kWidth; i < n; i += kThreads * kWidth) {
    const V v = *reinterpret_cast<const V*>(chunk + i);
    for (int r = 0; r < e.size; ++r) {
      if (r != e.at) *reinterpret_cast<V*>(e.inbox[r] + to + i) = v;
    }
  }
}

// Returns when every peer's chunk of this epoch is in the inbox.
__device__ __forceinline__ void meet(const Exchange& e, unsigned epoch) {
  __syncthreads();
  const int peer = static_cast<int>(threadIdx.x);
  if (peer < e.size && peer != e.at) {
    const int64_t flags = static_cast<int64_t>(blockIdx.x) * e.size;
    __threadfence_system();
    send_flag(e.flags[peer] + (flags + e.at) * kFlagStride, epoch);
    await_flag(e.flags[e.at] + (flags + peer) * kFlagStride, epoch);
  }
  __syncthreads();
}

template <typename V, template <typename> typename Finish>
__global__ void __launch_bounds__(kThreads) exchange_kernel(const Exchange e, const Job job) {
  constexpr int kWidth = sizeof(V) / sizeof(float);
  wait_for_input();
  let_next_begin();
  unsigned epoch = e.epochs[blockIdx.x];
  const int64_t step = gridDim.x * job.chunk, block = blockIdx.x * kExchangeChunk;
  for (int64_t begin = blockIdx.x * job.chunk; begin < job.n; begin += step) {
    ++epoch;
    const int64_t n = min(job.chunk, job.n - begin);
    const int64_t half = (epoch & 1) * e.size * kSender + block;
    send<V>(e, job.in + begin, n, half + e.at * kSender);
    meet(e, epoch);
    for (int64_t i = threadIdx.x * kWidth; i < n; i += kThreads * kWidth) {
      Finish<V>::finish(e, job, e.inbox[e.at] + half, begin + i, i);
    }
  }
  if (threadIdx.x == 0) e.epochs[blockIdx.x] = epoch;
}

template <template <typename> typename Finish>
void run(const Exchange& e, Job job, bool vectors, cudaStream_t stream) {
  if (job.n == 0) return;
  const int64_t least = kThreads * (vectors ? 4 : 1);
  const int64_t blocks = std::min<int64_t>(kExchangeBlocks, (job.n + least - 1) / least);
  const int64_t share = (job.n + blocks - 1) / blocks;
  job.chunk = std::min(kExchangeChunk, (share + least - 1) / least * least);
  const LaunchShape shape{.grid = dim3(static_cast<unsigned>(blocks)), .block = dim3(kThreads), .stream = stream};
  if (vectors) {
    launch_after(exchange_kernel<float4, Finish>, shape, e, job);
  } else {
    launch_after(exchange_kernel<float, Finish>, shape, e, job);
  }
}

}  // namespace

void all_reduce_sum(const Exchange& e, const Matrix& x, cudaStream_t stream) {
  auto* data = static_cast<float*>(x.data);
  const int64_t n = x.rows * x.cols;
  run<Sum>(e, {.in = data, .out = data, .n = n}, n % 4 == 0 && rows_aligned({data, 1, n, n, Type::kF32}, 16), stream);
}

void all_gather_cols(const Exchange& e, const Matrix& part, const Matrix& all, cudaStream_t stream) {
  auto* to = static_cast<float*>(all.data);
  const bool vectors = part.cols % 4 == 0 && rows_aligned(part, 16) && rows_aligned(all, 16);
  run<Gather>(
      e,
      {.in = static_cast<const float*>(part.data), .n = part.rows * part.cols, .target = {to, part.cols, all.stride}},
      vectors, stream);
}

}  // namespace polymath::backend::cuda
