// moe_fused.cuh with packed weights.

#include "backend/cuda/experts/moe_fused.cuh"
#include "backend/cuda/experts/packed_tile.cuh"

namespace polymath::backend::cuda {
namespace {

template <int kTokens>
using Few = PackedTileConfig<U4Cell, U6Cell, kTokens>;

}  // namespace

bool packed_fused_u4_u6(const MoeFusedSmallM& e, int n_multiprocessors, cudaStream_t stream) {
  return moe_fused::run<Few, false>(e, n_multiprocessors, stream);
}

}  // namespace polymath::backend::cuda
