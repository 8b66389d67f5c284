#pragma once

// Launches that begin when the kernel before has no more blocks to start and its last ones end (programmatic dependent
// launch): what a kernel does before wait_for_input() overlaps with that, and the card has no pause between the two. A
// kernel that is short rather than busy lets the next one's blocks come beside its own, with let_next_begin(): it takes
// some 3 us until they are there, which is longer than a short kernel runs.
// Source: CUDA programming guide, "Programmatic Dependent Launch and Synchronization".
//
// A kernel launched with launch_after() calls wait_for_input() in every thread before it reads or writes anything that
// other kernels of the stream touch. Before that it may read what no kernel of the step writes: weights, and the step's
// inputs, which the host copies. Several kernels may stand before their waits at once: the wait is for the one just
// before, which has waited itself, so that all have ended then.

#include <cuda_runtime_api.h>

#include <utility>

namespace polymath::backend::cuda {

__device__ __forceinline__ void wait_for_input() { asm volatile("griddepcontrol.wait;" ::: "memory"); }
// When all blocks have said so, or ended. After wait_for_input() where the next kernel reads earlier kernels' results
// before it waits.
__device__ __forceinline__ void let_next_begin() { asm volatile("griddepcontrol.launch_dependents;" ::: "memory"); }

// A failure shows in Device::launched(), as with <<<>>>. `cluster`: blocks, neighbours along x, that share memory.
template <typename... Parameters, typename... Arguments>
void launch_clusters_after(unsigned cluster, void (*kernel)(Parameters...), dim3 grid, dim3 block, size_t shared_bytes,
                           cudaStream_t stream, Arguments&&... arguments) {
  cudaLaunchAttribute attributes[2];
  attributes[0].id = cudaLaunchAttributeProgrammaticStreamSerialization;
  attributes[0].val.programmaticStreamSerializationAllowed = 1;
  attributes[1].id = cudaLaunchAttributeClusterDimension;
  attributes[1].val.clusterDim.x = cluster;
  attributes[1].val.clusterDim.y = attributes[1].val.clusterDim.z = 1;
  cudaLaunchConfig_t config{};
  config.gridDim = grid;
  config.blockDim = block;
  config.dynamicSmemBytes = shared_bytes;
  config.stream = stream;
  config.attrs = attributes;
  config.numAttrs = cluster > 1 ? 2 : 1;
  static_cast<void>(cudaLaunchKernelEx(&config, kernel, Parameters(std::forward<Arguments>(arguments))...));
}

template <typename... Parameters, typename... Arguments>
void launch_after(void (*kernel)(Parameters...), dim3 grid, dim3 block, size_t shared_bytes, cudaStream_t stream,
                  Arguments&&... arguments) {
  launch_clusters_after(1, kernel, grid, block, shared_bytes, stream, std::forward<Arguments>(arguments)...);
}

}  // namespace polymath::backend::cuda
