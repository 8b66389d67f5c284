#pragma once

// A ring of stages in shared memory between a warp that copies (TMA) and warpgroups that multiply (wgmma). `V` has
// kStages, kStageBytes and kGroups (the warpgroups that release a stage).

#include "backend/cuda/wgmma.cuh"

namespace polymath::backend::cuda {

constexpr int kGroupThreads = 128;  // of a warpgroup

template <typename V>
struct Ring {
  uint64_t full[V::kStages], empty[V::kStages];
};

struct Place {
  int stage = 0;
  uint32_t phase = 0;
  template <typename V>
  __device__ void advance() {
    if (++stage == V::kStages) stage = 0, phase ^= 1;
  }
};

// One role's view of the stages: the shared memory, its mbarriers, and the stage that comes next.
template <typename V>
struct Pipeline {
  uint8_t* stages;
  Ring<V>& ring;
  Place next;
  __device__ __forceinline__ uint8_t* stage() const { return stages + next.stage * V::kStageBytes; }
  __device__ __forceinline__ void wait_empty() const { barrier_wait(&ring.empty[next.stage], next.phase ^ 1); }
  __device__ __forceinline__ void wait_full() const { barrier_wait(&ring.full[next.stage], next.phase); }
  __device__ __forceinline__ void advance() { next.advance<V>(); }
};

// By one thread, before the block's barrier. arrivals: that release a stage.
template <typename V>
__device__ __forceinline__ void begin_ring(Ring<V>& ring, int arrivals = V::kGroups) {
  for (int s = 0; s < V::kStages; ++s) {
    barrier_init(&ring.full[s], 1);
    barrier_init(&ring.empty[s], arrivals);
  }
  publish_barriers();
}
__device__ __forceinline__ uint8_t* begin_of_stages(uint8_t* memory) {
  return memory + (1024 - shared_place(memory) % 1024) % 1024;
}

}  // namespace polymath::backend::cuda
