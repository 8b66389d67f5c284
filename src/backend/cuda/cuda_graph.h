#pragma once

// A captured step, as the owner of its executable graph.

#include <cuda_runtime_api.h>

#include "backend/backend.h"

namespace polymath::backend::cuda {

struct CudaGraph : CapturedGraph {
  explicit CudaGraph(cudaGraphExec_t g) : graph(g) {}
  ~CudaGraph() override { cudaGraphExecDestroy(graph); }
  cudaGraphExec_t graph;
};

}  // namespace polymath::backend::cuda
