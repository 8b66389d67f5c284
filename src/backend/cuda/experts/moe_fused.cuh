#pragma once

// Both grouped GEMMs of a layer's experts in one launch, for few tokens. Bound by the weights' bytes.
//
// Blocks claim tiles from a counter: all tiles of the first GEMM, then all of the second. So the second's weights
// stream in while the first's last tiles are multiplied. A block with a long tile claims fewer. A tile of the second
// GEMM waits for the first's tiles of its tokens. Running blocks claimed those long before: no block waits for one that
// has not started.

#include <cstring>

#include "backend/cuda/experts/experts.h"
#include "backend/cuda/experts/tile_sm90.cuh"
#include "backend/cuda/launch.cuh"

namespace polymath::backend::cuda {
namespace moe_fused {

// The shared expert's tiles are long, so they come first and the others fill the gaps.
enum GemmIndex { kSharedFirst, kFirst, kSharedSecond, kSecond, kGemms };
constexpr int kVisits = 2;  // the shared expert's, the group's: GEMM index % kVisits

struct Work {
  TiledGemm gemms[kGemms];      // row_tiles 0: none
  unsigned* claims = nullptr;   // tiles that were claimed, but for the first of each block
  unsigned* written = nullptr;  // by token tile, the shared expert's first: written tiles of the first GEMM
};
struct Maps {
  OperandMaps of[kGemms];
};

__device__ __forceinline__ void wait_until(const unsigned* counter, unsigned n) {
  unsigned seen = 0;
  while (seen < n) {
    asm volatile("ld.acquire.gpu.global.u32 %0, [%1];" : "=r"(seen) : "l"(counter) : "memory");
  }
}

// Pairs and token tiles of both visits. Fewer than 2^16: at most kSmallM for each expert.
using VisitTiles = ExpertTiles<uint16_t>[kVisits];
static_assert(kSmallM * routing::kExpertsMax <= 1 << 16);

__device__ __forceinline__ int token_tiles(const Work& work, const VisitTiles& tiles, int visit) {
  return tiles[visit].tiles[work.gemms[visit].p.groups.n_experts];
}

struct Claimed {
  int gemm;  // kGemms: no further tile
  Tile tile;
};
template <typename V>
__device__ __forceinline__ Claimed find_claimed(const Work& work, const VisitTiles& tiles, int claim) {
#pragma unroll
  for (int i = 0; i < kGemms; ++i) {
    const TiledGemm& gemm = work.gemms[i];
    const int n = token_tiles(work, tiles, i % kVisits) * gemm.row_tiles;
    if (claim < n) return {i, find_tile<V>(gemm, tiles[i % kVisits], claim)};
    claim -= n;
  }
  return {kGemms, {}};
}

// Index of the token tile over both visits, the shared expert's first.
__device__ __forceinline__ int counter_of(const Work& work, const VisitTiles& tiles, const Claimed& claimed) {
  return claimed.tile.of_tokens + (claimed.gemm % kVisits == 0 ? 0 : token_tiles(work, tiles, 0));
}

// Hand-over between the block's warps. A tile is published one ahead of the tile being copied.
template <typename V>
struct Hall {
  Ring<V> ring;
  uint64_t announced, heard;     // `claimed` is new; everybody has taken it
  uint64_t finished, signalled;  // `written_tile` is new; it has been taken
  Claimed claimed;
  int written_tile;  // token tile with one more tile of the first GEMM; -1: no further one
};
template <typename V>
constexpr int kConsumers = V::kGroups* kGroupThreads;
template <typename V>
constexpr int kConsumerWarps = kConsumers<V> / kWarp;

template <typename V>
__device__ __forceinline__ void begin_hall(Hall<V>& hall) {
  barrier_init(&hall.announced, 1);
  barrier_init(&hall.heard, kConsumers<V> + 1);
  barrier_init(&hall.finished, kConsumerWarps<V>);
  barrier_init(&hall.signalled, 1);
  begin_ring(hall.ring, V::kArrivals);
}

// One thread: claims tiles, locates them, and waits until their inputs are written.
template <typename V>
__device__ void schedule(const Work& work, const VisitTiles& tiles, Hall<V>& hall) {
  unsigned claim = blockIdx.x;  // each block's first; later ones are claimed
  for (uint32_t phase = 0;; phase ^= 1) {
    const Claimed claimed = find_claimed<V>(work, tiles, static_cast<int>(claim));
    if (claimed.gemm >= kVisits && claimed.gemm < kGemms) {
      wait_until(work.written + counter_of(work, tiles, claimed),
                 static_cast<unsigned>(work.gemms[claimed.gemm % kVisits].row_tiles));
    }
    hall.claimed = claimed;
    barrier_arrive(&hall.announced);
    if (claimed.gemm == kGemms) return;
    barrier_wait(&hall.heard, phase);  // a tile is claimed when the one before is nearly copied, not sooner
    claim = gridDim.x + atomicAdd(work.claims, 1u);
  }
}

// One thread, or a whole warp for packed weights: the TMA copies of every stage.
template <typename V>
__device__ void produce(const Work& work, const Maps& maps, uint8_t* memory, Hall<V>& hall) {
  Pipeline<V> pipeline{memory, hall.ring, {}};
  for (uint32_t phase = 0;; phase ^= 1) {
    barrier_wait(&hall.announced, phase);
    const Claimed claimed = hall.claimed;
    if constexpr (V::kPacked) __syncwarp();  // all lanes have read it before the next one is claimed
    if (claimed.gemm == kGemms) break;
    if (claimed.gemm >= kVisits) asm volatile("fence.proxy.async.global;" ::: "memory");  // written by stores
    const TiledGemm& gemm = work.gemms[claimed.gemm];
    const int stages = stages_of<V>(gemm, claimed.tile), hears_at = max(stages - V::kAnnounceAhead, 0);
    TileCopies<V> copies(gemm, maps.of[claimed.gemm], claimed.tile);
    for (int s = 0; s < stages; ++s) {
      pipeline.wait_empty();
      copies.next(pipeline);
      if (s == hears_at && (!V::kPacked || threadIdx.x % kWarp == 0)) barrier_arrive(&hall.heard);
      pipeline.advance();
    }
  }
  pipeline.wait_empty();
  if (V::kPacked && threadIdx.x % kWarp != 0) return;
  barrier_arrive(&hall.ring.full[pipeline.next.stage]);  // a stage of no tile
}

// One thread: signals written tiles to all blocks, so that the warps that write need not wait for their stores.
template <typename V>
__device__ void signal(const Work& work, Hall<V>& hall) {
  for (uint32_t phase = 0;; phase ^= 1) {
    barrier_wait(&hall.finished, phase);
    const int tile = hall.written_tile;
    if (tile < 0) return;
    asm volatile("red.release.gpu.global.add.u32 [%0], 1;" ::"l"(work.written + tile) : "memory");
    barrier_arrive(&hall.signalled);
  }
}

// By the multiplying warps: passes on that one more tile of this token tile is written.
template <typename V>
__device__ __forceinline__ void say_written(Hall<V>& hall, int tile, uint32_t phase) {
  asm volatile("fence.proxy.async.global;" ::: "memory");
  barrier_wait(&hall.signalled, phase ^ 1);
  if (threadIdx.x == 0) hall.written_tile = tile;
  __syncwarp();
  if (threadIdx.x % kWarp == 0) barrier_arrive(&hall.finished);
}

template <typename V, End kEnd, bool kHalf>
__device__ __forceinline__ void consume(const Work& work, const VisitTiles& tiles, uint8_t* memory, Hall<V>& hall) {
  Pipeline<V> pipeline{memory, hall.ring, {}};
  const int group = static_cast<int>(threadIdx.x) / kGroupThreads;
  uint32_t say_phase = 0;
  for (;;) {
    pipeline.wait_full();
    const Claimed claimed = hall.claimed;
    if (claimed.gemm == kGemms) break;
    barrier_arrive(&hall.heard);  // each thread for itself: racecheck sees no order through one lane
    const TiledGemm& gemm = work.gemms[claimed.gemm];
    if (claimed.gemm < kVisits) {
      multiply_tile<V, kEnd, kHalf>(gemm, claimed.tile, pipeline, group);
      say_written(hall, counter_of(work, tiles, claimed), say_phase);
      say_phase ^= 1;
    } else {
      multiply_tile<V, End::kOutput, kHalf>(gemm, claimed.tile, pipeline, group);
    }
  }
  say_written(hall, -1, say_phase);
}

template <typename V, End kEnd, bool kHalf>
__global__ void __launch_bounds__(V::kThreads, V::kBlocksAnSm)
    moe_fused_small_m_kernel(const __grid_constant__ Work work, const __grid_constant__ Maps maps) {
  extern __shared__ uint8_t memory[];
  __shared__ Hall<V> hall;
  __shared__ VisitTiles tiles;
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
  const bool one = threadIdx.x % kWarp == 0;
  if (threadIdx.x == 0) begin_hall(hall);
  if (threadIdx.x < kGemms && work.gemms[threadIdx.x].row_tiles > 0) {
    prefetch(&maps.of[threadIdx.x].tokens);
    if constexpr (!V::kPacked) prefetch(&maps.of[threadIdx.x].weights);
  }
  let_next_begin();
  wait_for_input();
  for (int visit = 0; visit < kVisits; ++visit) {
    if (work.gemms[visit].row_tiles > 0) fetch_pairs(work.gemms[visit].p.groups, tiles[visit]);
  }
  __syncthreads();
  if (warp < kVisits && work.gemms[warp].row_tiles > 0) {
    count_tiles<V>(work.gemms[warp].p.groups.n_experts, tiles[warp]);
  } else if (warp < kVisits && one) {
    tiles[warp].tiles[0] = 0;  // no shared expert
  }
  __syncthreads();
  constexpr int kCopying = kConsumerWarps<V>;
  if constexpr (V::kPacked) {  // the weights' operand is in registers
    if (warp < kCopying) {
      asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(V::kConsumerRegisters));
    } else {
      asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(V::kProducerRegisters));
    }
  }
  if (warp < kCopying) {
    consume<V, kEnd, kHalf>(work, tiles, begin_of_stages(memory), hall);
  } else if (warp == kCopying) {
    if (one) schedule(work, tiles, hall);
  } else if (warp == kCopying + 1) {
    if (V::kPacked || one) produce(work, maps, begin_of_stages(memory), hall);
  } else if (warp == kCopying + 2) {
    if (one) signal(work, hall);
  }
}

template <typename V, End kEnd, bool kHalf>
bool launch(const MoeFusedSmallM& e, int n_multiprocessors, cudaStream_t stream) {
  Work work{.gemms = {}, .claims = e.counters, .written = e.counters + 1};
  Maps maps;
  std::memset(static_cast<void*>(&maps), 0, sizeof(maps));
  const ExpertGemm* const gemms[kGemms] = {e.shared_first, &e.first, e.shared_second, &e.second};
  int64_t tiles = 0;
  for (int i = 0; i < kGemms; ++i) {
    if (gemms[i] == nullptr) continue;
    if (!cut_in_tiles<V>(*gemms[i], &work.gemms[i], &maps.of[i])) return false;
    tiles += token_tiles_most<V>(gemms[i]->groups) * work.gemms[i].row_tiles;
  }
  allow_shared<moe_fused_small_m_kernel<V, kEnd, kHalf>>(V::kSharedBytes);
  const auto blocks = static_cast<unsigned>(min(tiles, static_cast<int64_t>(n_multiprocessors) * V::kBlocksAnSm));
  launch_after(moe_fused_small_m_kernel<V, kEnd, kHalf>, {dim3(blocks), dim3(V::kThreads), V::kSharedBytes, stream},
               work, maps);
  return true;
}

// Tokens of an expert for which a tile is made. Plain weights: all that it can have. Packed: many small tiles hide each
// other's waits, so the mean counts. An expert with more takes several tiles, whose weights come from the L2 cache.
// A shared expert has all of the step's tokens.
inline int64_t tokens_of_tile(const MoeFusedSmallM& e, bool packed) {
  const int64_t tokens = e.first.groups.n_pairs / e.first.top_k;
  if (!packed) return tokens;
  constexpr int64_t kMeanOf16 = 4, kSharedTiles = 8;
  int64_t mean = ceil_div(e.first.groups.n_pairs, e.first.groups.n_experts);
  if (e.shared_first != nullptr) mean = max(mean, tokens / kSharedTiles);
  return min(tokens, mean <= kMeanOf16 ? int64_t{16} : int64_t{32});
}

// Smaller token tiles leave room for more stages of weights in flight. Form<kTokens>: the configuration of a tile.
template <template <int> class Form, End kEnd, bool kHalf>
bool launch_form(const MoeFusedSmallM& e, int n_multiprocessors, cudaStream_t stream) {
  constexpr bool kPacked = Form<16>::kPacked;
  const int64_t tokens = tokens_of_tile(e, kPacked);
  if (tokens <= 16) return launch<Form<16>, kEnd, kHalf>(e, n_multiprocessors, stream);
  if constexpr (!kPacked) {
    if (tokens > 32) return launch<Form<kSmallM>, kEnd, kHalf>(e, n_multiprocessors, stream);
  }
  return launch<Form<32>, kEnd, kHalf>(e, n_multiprocessors, stream);
}

template <template <int> class Form, bool kHalf>
bool run(const MoeFusedSmallM& e, int n_multiprocessors, cudaStream_t stream) {
  const bool plain = ends_plain(e.first) && (e.shared_first == nullptr || ends_plain(*e.shared_first));
  return plain ? launch_form<Form, End::kSilu, kHalf>(e, n_multiprocessors, stream)
               : launch_form<Form, End::kAnyGlu, kHalf>(e, n_multiprocessors, stream);
}

}  // namespace moe_fused
}  // namespace polymath::backend::cuda
