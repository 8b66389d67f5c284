#pragma once

// Data exchange between a cluster's blocks by st.async into another block's shared memory. Its mbarrier counts the
// bytes, so no fence is needed. Only for clusters of two blocks or more.
//
// Source: PTX ISA 9.0, barrier.cluster, mapa and st.async.

#include <cstdint>

#include "backend/cuda/shared_memory.cuh"

namespace polymath::backend::cuda {

__device__ __forceinline__ int rank_in_cluster() {
  uint32_t rank;
  asm("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
  return static_cast<int>(rank);
}

// Called by all threads of all blocks; compute-sanitizer hung when a block's warps arrived at different times. Relaxed:
// only mbarriers were written for others to read.
__device__ __forceinline__ void cluster_arrive() {
  asm volatile("barrier.cluster.arrive.relaxed.aligned;" ::: "memory");
}
__device__ __forceinline__ void cluster_wait() { asm volatile("barrier.cluster.wait.acquire.aligned;" ::: "memory"); }

// Block `rank`'s address of the variable at `own_place` here.
__device__ __forceinline__ uint32_t place_in_block(uint32_t own_place, int rank) {
  uint32_t place;
  asm("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(place) : "r"(own_place), "r"(rank));
  return place;
}
// Stores into another block and counts on its barrier.
__device__ __forceinline__ void send(uint32_t to, uint32_t barrier, float v) {
  asm volatile("st.async.shared::cluster.mbarrier::complete_tx::bytes.b32 [%0], %1, [%2];" ::"r"(to),
               "r"(__float_as_uint(v)), "r"(barrier)
               : "memory");
}
__device__ __forceinline__ void send(uint32_t to, uint32_t barrier, float a, float b, float c, float d) {
  asm volatile("st.async.shared::cluster.mbarrier::complete_tx::bytes.v4.f32 [%0], {%1, %2, %3, %4}, [%5];" ::"r"(to),
               "f"(a), "f"(b), "f"(c), "f"(d), "r"(barrier)
               : "memory");
}
// Shared memory that was written before is visible to the cluster afterwards.
__device__ __forceinline__ void cluster_sync() {
  asm volatile("barrier.cluster.arrive.release.aligned;\nbarrier.cluster.wait.acquire.aligned;" ::: "memory");
}
__device__ __forceinline__ int load_from_block(uint32_t place) {
  int v;
  asm volatile("ld.shared::cluster.s32 %0, [%1];" : "=r"(v) : "r"(place) : "memory");
  return v;
}
// As barrier_wait(), for other blocks' stores.
__device__ __forceinline__ void wait_for_cluster(uint64_t* barrier, uint32_t phase) {
  asm volatile(
      "{\n.reg .pred done;\nagain:\nmbarrier.try_wait.parity.acquire.cluster.shared::cta.b64 done, [%0], %1;\n"
      "@!done bra again;\n}\n" ::"r"(shared_place(barrier)),
      "r"(phase)
      : "memory");
}

}  // namespace polymath::backend::cuda
