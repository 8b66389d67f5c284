// One-shot collectives: a value crosses NVLink once. Memory order: PTX ISA, "Memory Consistency Model".

#include "backend/cuda/collectives/exchange.h"

#include <algorithm>

#include "backend/cuda/launch.cuh"

namespace polymath::backend::cuda {
namespace {

constexpr int kThreads = 512, kBlocksAnSm = 3;
constexpr int kSmallThreads = static_cast<int>(kSmallChunk / 2);

__device__ __forceinline__ uint64_t nanoseconds() {
  uint64_t now;
  asm volatile("mov.u64 %0, %globaltimer;" : "=l"(now));
  return now;
}
// A peer that has failed sends nothing: the trap is this device's failure, which ends the process.
constexpr uint64_t kWaitNs = uint64_t{10} * 1000 * 1000 * 1000;

// Returns when `arrived()`, which reads what a peer sends.
template <typename Arrived>
__device__ __forceinline__ void await(Arrived arrived) {
  const uint64_t begin = nanoseconds();
  for (unsigned spins = 1; !arrived(); ++spins) {
    if (spins % 1024 == 0 && nanoseconds() - begin > kWaitNs) __trap();
  }
}

__device__ __forceinline__ void send_flag(unsigned* flag, unsigned epoch) {
  asm volatile("st.release.sys.global.u32 [%0], %1;" ::"l"(flag), "r"(epoch) : "memory");
}
// Epochs wrap around.
__device__ __forceinline__ void await_flag(const unsigned* flag, unsigned epoch) {
  await([&] {
    unsigned seen;
    asm volatile("ld.acquire.sys.global.u32 %0, [%1];" : "=r"(seen) : "l"(flag) : "memory");
    return static_cast<int>(seen - epoch) >= 0;
  });
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

constexpr int64_t kSender = kExchangeBlocks * kExchangeChunk;  // floats of a sender in one of an inbox's buffers

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
    for (int r = 0; r < e.size; ++r) {
      *reinterpret_cast<V*>(job.target.at(r, at)) = part_of<V>(e, r, job.in + at, inbox + i);
    }
  }
};

// A block's chunks: the k-th is of epoch `before` + 1 + k.
struct Chunks {
  __device__ Chunks(const Exchange& e, const Job& job)
      : before(e.epochs[blockIdx.x]), first(blockIdx.x * job.chunk), step(gridDim.x * job.chunk) {
    n = first < job.n ? static_cast<int>((job.n - first + step - 1) / step) : 0;
  }
  __device__ int64_t begin(int k) const { return first + k * step; }
  __device__ unsigned epoch(int k) const { return before + 1 + static_cast<unsigned>(k); }
  // Where the k-th lies in an inbox, of the first sender.
  __device__ int64_t place(const Exchange& e, int k) const {
    return static_cast<int64_t>(epoch(k) % kExchangeBuffers) * e.size * kSender + blockIdx.x * kExchangeChunk;
  }

  const unsigned before;
  const int64_t first, step;
  int n;
};

// The k-th chunk, to every peer.
template <typename V>
__device__ __forceinline__ void send(const Exchange& e, const Job& job, const Chunks& chunks, int k) {
  constexpr int kWidth = sizeof(V) / sizeof(float);
  const int64_t begin = chunks.begin(k), n = min(job.chunk, job.n - begin), to = chunks.place(e, k) + e.at * kSender;
  for (int64_t i = threadIdx.x * kWidth; i < n; i += kThreads * kWidth) {
    const V v = *reinterpret_cast<const V*>(job.in + begin + i);
    for (int r = 0; r < e.size; ++r) {
      if (r != e.at) *reinterpret_cast<V*>(e.inbox[r] + to + i) = v;
    }
  }
}

// Tells the peers which of this block's chunks have been sent, and returns when their chunk `awaited` is here.
__device__ __forceinline__ void meet(const Exchange& e, const Chunks& chunks, int sent, int awaited) {
  __syncthreads();
  const int peer = static_cast<int>(threadIdx.x);
  if (peer < e.size && peer != e.at) {
    const int64_t flags = static_cast<int64_t>(blockIdx.x) * e.size;
    if (sent < chunks.n) {
      __threadfence_system();
      send_flag(e.flags[peer] + (flags + e.at) * kFlagStride, chunks.epoch(sent));
    }
    if (awaited >= 0) await_flag(e.flags[e.at] + (flags + peer) * kFlagStride, chunks.epoch(awaited));
  }
  __syncthreads();
}

template <typename V, template <typename> typename Finish>
__global__ void __launch_bounds__(kThreads, kBlocksAnSm) exchange_kernel(const Exchange e, const Job job) {
  constexpr int kWidth = sizeof(V) / sizeof(float);
  wait_for_input();
  let_next_begin();
  const Chunks chunks(e, job);
  if (chunks.n > 0) send<V>(e, job, chunks, 0);
  for (int k = 0; k <= chunks.n; ++k) {
    meet(e, chunks, k, k - 1);
    if (k + 1 < chunks.n) send<V>(e, job, chunks, k + 1);
    if (k == 0) continue;
    const int64_t begin = chunks.begin(k - 1), n = min(job.chunk, job.n - begin), from = chunks.place(e, k - 1);
    for (int64_t i = threadIdx.x * kWidth; i < n; i += kThreads * kWidth) {
      Finish<V>::finish(e, job, e.inbox[e.at] + from, begin + i, i);
    }
  }
  if (threadIdx.x == 0) e.epochs[blockIdx.x] = chunks.before + static_cast<unsigned>(chunks.n);
}

__device__ __forceinline__ void send_two(uint32_t* to, float a, float b, unsigned epoch) {
  asm volatile("st.volatile.global.v4.u32 [%0], {%1, %2, %3, %2};" ::"l"(to), "r"(__float_as_uint(a)), "r"(epoch),
               "r"(__float_as_uint(b))
               : "memory");
}
__device__ __forceinline__ float2 receive_two(const uint32_t* from, unsigned epoch) {
  uint4 v;
  await([&] {
    asm volatile("ld.volatile.global.v4.u32 {%0, %1, %2, %3}, [%4];"
                 : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w)
                 : "l"(from)
                 : "memory");
    return v.y == epoch && v.w == epoch;
  });
  return {__uint_as_float(v.x), __uint_as_float(v.z)};
}

// Two floats a thread, so that a warp's stores fill whole lines. REQUIRES: n % 2 == 0, n <= kSmallFloats.
__global__ void __launch_bounds__(kSmallThreads) small_sum_kernel(const Exchange e, float* x, int64_t n) {
  wait_for_input();
  let_next_begin();
  unsigned* const counter = e.epochs + kExchangeBlocks + blockIdx.x;
  const unsigned epoch = *counter + 1;
  __syncthreads();
  if (threadIdx.x == 0) *counter = epoch;
  const int64_t i = blockIdx.x * kSmallChunk + threadIdx.x * 2;
  if (i >= n) return;
  const float2 own = *reinterpret_cast<const float2*>(x + i);
  const int64_t buffer = static_cast<int64_t>(epoch % kSmallBuffers) * e.size;
  for (int r = 0; r < e.size; ++r) {
    if (r != e.at) send_two(e.small[r] + ((buffer + e.at) * kSmallFloats + i) * 2, own.x, own.y, epoch);
  }
  float2 total{};
  for (int r = 0; r < e.size; ++r) {
    const uint32_t* const from = e.small[e.at] + ((buffer + r) * kSmallFloats + i) * 2;
    const float2 part = r == e.at ? own : receive_two(from, epoch);
    total.x += part.x, total.y += part.y;
  }
  *reinterpret_cast<float2*>(x + i) = total;
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
  const bool vectors = n % 4 == 0 && rows_aligned({data, 1, n, n, Type::kF32}, 16);
  if (!vectors || n > kSmallFloats || n == 0) return run<Sum>(e, {.in = data, .out = data, .n = n}, vectors, stream);
  const auto blocks = static_cast<unsigned>((n + kSmallChunk - 1) / kSmallChunk);
  launch_after(small_sum_kernel, {dim3(blocks), dim3(kSmallThreads), 0, stream}, e, data, n);
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
