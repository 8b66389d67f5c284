#pragma once

// Launches that begin while the kernel before is still running (programmatic dependent launch): what a kernel does
// before wait_for_input() overlaps with the end of its predecessor, and the card has no pause between the two.
// Source: CUDA programming guide, "Programmatic Dependent Launch and Synchronization".
//
// A kernel launched with launch_after() calls wait_for_input() in every thread before it reads or writes anything that
// other kernels of the stream touch; weights are nobody's output, and may be fetched before.

#include <cuda_runtime_api.h>

#include <utility>

namespace polymath::backend::cuda {

__device__ __forceinline__ void wait_for_input() {
  asm volatile("griddepcontrol.launch_dependents;" ::: "memory");  // the next one may come and wait here too
  asm volatile("griddepcontrol.wait;" ::: "memory");
}

// A failure shows in Device::launched(), as with <<<>>>.
template <typename... Parameters, typename... Arguments>
void launch_after(void (*kernel)(Parameters...), dim3 grid, dim3 block, size_t shared_bytes, cudaStream_t stream,
                  Arguments&&... arguments) {
  cudaLaunchAttribute early;
  early.id = cudaLaunchAttributeProgrammaticStreamSerialization;
  early.val.programmaticStreamSerializationAllowed = 1;
  cudaLaunchConfig_t config{};
  config.gridDim = grid;
  config.blockDim = block;
  config.dynamicSmemBytes = shared_bytes;
  config.stream = stream;
  config.attrs = &early;
  config.numAttrs = 1;
  static_cast<void>(cudaLaunchKernelEx(&config, kernel, Parameters(std::forward<Arguments>(arguments))...));
}

}  // namespace polymath::backend::cuda
