// moe_fused.cuh with plain weights.

#include "backend/cuda/experts/moe_fused.cuh"

namespace polymath::backend::cuda {
namespace {

template <int kTokens>
using Few = TileConfig<1, kTokens,
                       kTokens == 16   ? 10
                       : kTokens == 32 ? 8
                                       : 6,
                       8, 2, true>;

}  // namespace

bool moe_fused_small_m(const MoeFusedSmallM& e, int n_multiprocessors, cudaStream_t stream) {
  return e.first.w.type == Type::kF16 ? moe_fused::run<Few, true>(e, n_multiprocessors, stream)
                                      : moe_fused::run<Few, false>(e, n_multiprocessors, stream);
}

}  // namespace polymath::backend::cuda
