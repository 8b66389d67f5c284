#pragma once

// Programmatic dependent launch: a kernel's start, up to wait_for_input(), overlaps with the end of the kernel before.
// let_next_begin() starts the next kernel early: it takes some 3 us, longer than a short kernel runs.
// Source: CUDA programming guide, "Programmatic Dependent Launch and Synchronization".
//
// Every thread calls wait_for_input() before it touches memory that other kernels of the stream touch. Before that it
// may read weights and the step's inputs, which no kernel writes. Several kernels may wait at once. Each waits for its
// predecessor, which has itself waited: all earlier ones have ended.

#include <cuda_runtime_api.h>

#include <array>
#include <atomic>
#include <utility>

namespace polymath::backend::cuda {

__device__ __forceinline__ void wait_for_input() { asm volatile("griddepcontrol.wait;" ::: "memory"); }
// Takes effect once all blocks have called it or exited. Call it after wait_for_input() if the next kernel reads
// results of earlier kernels before its own wait.
__device__ __forceinline__ void let_next_begin() { asm volatile("griddepcontrol.launch_dependents;" ::: "memory"); }

// Sets an attribute of a kernel, once on each GPU that launches it. A failure shows at the launch.
template <auto kKernel, cudaFuncAttribute kAttribute = cudaFuncAttributeMaxDynamicSharedMemorySize>
void set_once(int value) {
  static std::array<std::atomic<bool>, 64> done{};
  int device = 0;
  cudaGetDevice(&device);
  if (done[static_cast<size_t>(device) % done.size()].exchange(true, std::memory_order_relaxed)) return;
  static_cast<void>(cudaFuncSetAttribute(kKernel, kAttribute, value));
}
// The dynamic shared memory that a launch may ask for.
template <auto kKernel>
void allow_shared(size_t bytes) {
  set_once<kKernel>(static_cast<int>(bytes));
}

struct LaunchShape {
  dim3 grid, block;
  size_t shared_bytes = 0;  // dynamic
  cudaStream_t stream = nullptr;
  unsigned cluster = 1;  // blocks, adjacent along x, that share memory
};
// A failure shows in Device::launched(), as with <<<>>>.
template <typename... Parameters, typename... Arguments>
void launch_after(void (*kernel)(Parameters...), const LaunchShape& shape, Arguments&&... arguments) {
  cudaLaunchAttribute attributes[2];
  attributes[0].id = cudaLaunchAttributeProgrammaticStreamSerialization;
  attributes[0].val.programmaticStreamSerializationAllowed = 1;
  attributes[1].id = cudaLaunchAttributeClusterDimension;
  attributes[1].val.clusterDim.x = shape.cluster;
  attributes[1].val.clusterDim.y = attributes[1].val.clusterDim.z = 1;
  cudaLaunchConfig_t config{};
  config.gridDim = shape.grid;
  config.blockDim = shape.block;
  config.dynamicSmemBytes = shape.shared_bytes;
  config.stream = shape.stream;
  config.attrs = attributes;
  config.numAttrs = shape.cluster > 1 ? 2 : 1;
  static_cast<void>(cudaLaunchKernelEx(&config, kernel, Parameters(std::forward<Arguments>(arguments))...));
}

}  // namespace polymath::backend::cuda
