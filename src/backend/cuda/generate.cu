// Generates dummy weights on the device: a model of any size is ready at once.

#include "backend/cuda/device_math.cuh"
#include "backend/cuda/generate.h"
#include "quant/generated.h"

namespace polymath::backend::cuda {
namespace {

constexpr int kThreads = 256;

__global__ void generate_kernel(Generate g) {
  for (int64_t r = blockIdx.x; r < g.rows; r += gridDim.x) {
    for (int64_t c = threadIdx.x; c < g.cols; c += kThreads) {
      const int64_t i = g.offset + r * g.row_stride + c * g.col_stride;
      put_at(g.to, g.type, r * g.stride + c, g.quantiles[quant::quantile_of(g.key, i)]);
    }
  }
}

}  // namespace

void generate(const Generate& g, cudaStream_t stream) {
  const auto blocks = static_cast<unsigned>(g.rows < 65535 ? g.rows : 65535);
  if (blocks > 0) generate_kernel<<<blocks, kThreads, 0, stream>>>(g);
}

}  // namespace polymath::backend::cuda
