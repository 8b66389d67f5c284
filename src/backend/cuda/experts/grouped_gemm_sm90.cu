// grouped_gemm.cuh with plain weights, and what sorts its inputs.

#include "backend/cuda/experts/grouped_gemm.cuh"

namespace polymath::backend::cuda {
namespace {

using Many = TileConfig<2, 256, 4, 64, 1, false>;

// A warp a pair. A lane has kWords loads under way.
constexpr int kGatherWarps = 8;
template <int kWords>
__device__ __forceinline__ void copy_words(const uint4* from, uint4* to, int n) {
  for (int first = threadIdx.x % kWarp; first < n; first += kWarp * kWords) {
    uint4 words[kWords];
#pragma unroll
    for (int i = 0; i < kWords; ++i) {
      if (first + i * kWarp < n) words[i] = from[first + i * kWarp];
    }
#pragma unroll
    for (int i = 0; i < kWords; ++i) {
      if (first + i * kWarp < n) to[first + i * kWarp] = words[i];
    }
  }
}

__global__ void __launch_bounds__(kGatherWarps* kWarp)
    gather_pairs_kernel(Matrix x, Groups groups, unsigned top_k, Matrix y) {
  let_next_begin();
  wait_for_input();
  const int64_t j = static_cast<int64_t>(blockIdx.x) * kGatherWarps + threadIdx.x / kWarp;
  if (j >= groups.offsets[groups.n_experts]) return;
  const unsigned token = static_cast<unsigned>(groups.pairs[j]) / top_k;
  copy_words<8>(reinterpret_cast<const uint4*>(static_cast<const uint16_t*>(x.data) + token * x.stride),
                reinterpret_cast<uint4*>(static_cast<uint16_t*>(y.data) + j * y.stride), static_cast<int>(y.cols / 8));
}

}  // namespace

void gather_pairs(const Matrix& x, const Groups& groups, int64_t top_k, const Matrix& y, cudaStream_t stream) {
  if (groups.n_pairs == 0) return;
  launch_after(
      gather_pairs_kernel,
      {dim3(static_cast<unsigned>(ceil_div(groups.n_pairs, kGatherWarps))), dim3(kGatherWarps * kWarp), 0, stream}, x,
      groups, static_cast<unsigned>(top_k), y);
}

bool grouped_gemm_sm90(const ExpertGemm& p, int n_multiprocessors, cudaStream_t stream) {
  return p.w.type == Type::kF16 ? grouped::run<Many, true>(p, n_multiprocessors, stream)
                                : grouped::run<Many, false>(p, n_multiprocessors, stream);
}

}  // namespace polymath::backend::cuda
