// Traps, to test what follows a device fault.

#include "backend/cuda/probe.h"

namespace polymath::backend::cuda {
namespace {

__global__ void fault_kernel() { asm volatile("trap;"); }

}  // namespace

void make_fault(cudaStream_t stream) { fault_kernel<<<1, 1, 0, stream>>>(); }

}  // namespace polymath::backend::cuda
