// Attention of prompts over a paged bf16 cache on Hopper's asynchronous tensor cores.
//
// A block is persistent. One warp copies queries, keys and values (prompt_stages.cuh). Two warpgroups have 64 rows each
// and share the keys and values. A warpgroup starts the next scores and the last values, then computes probabilities
// while they run. The two take turns at the tensor cores. A tile's rows are the heads of a kv head, token by token, as
// in paged_attention_mma.cu. So short prompts fill a tile, and only a tile's ends are masked.
//
// Sources: Shah et al., "FlashAttention-3" (arXiv:2407.08608); PTX ISA 9.0, wgmma and its matrix descriptors.

#include "backend/cuda/attention/prompt_stages.cuh"
#include "backend/cuda/attention/unpack_cache.h"
#include "backend/cuda/tensor_map.h"

namespace polymath::backend::cuda {
namespace {

// Hardware barriers; 0 is __syncthreads().
__device__ __forceinline__ int turn_barrier(int group) { return 1 + group; }
__device__ __forceinline__ int group_barrier(int group) { return 3 + group; }

// All threads of a warpgroup have arrived.
__device__ __forceinline__ void sync_group(int group) {
  asm volatile("bar.sync %0, %1;" ::"r"(group_barrier(group)), "n"(kGroupThreads) : "memory");
}
// Turns at the tensor cores: a warpgroup waits for its own, and gives the other one its turn.
__device__ __forceinline__ void wait_for_turn(int group) {
  asm volatile("bar.sync %0, %1;" ::"r"(turn_barrier(group)), "n"(2 * kGroupThreads) : "memory");
}
__device__ __forceinline__ void give_turn(int group) {
  asm volatile("bar.arrive %0, %1;" ::"r"(turn_barrier(1 - group)), "n"(2 * kGroupThreads) : "memory");
}

// A warpgroup's view of the block.
template <typename C>
struct PromptGroup {
  const TileShape& s;
  Pipeline<C> pipeline;
  uint8_t* queries;  // its operand
  int group;

  __device__ __forceinline__ void release(int stage) const {
    if (threadIdx.x % kGroupThreads == 0) barrier_arrive(&pipeline.ring.empty[stage]);
  }
  // Waits for the next stage and takes it.
  __device__ __forceinline__ int take() {
    pipeline.wait_full();
    const int stage = pipeline.next.stage;
    pipeline.advance();
    return stage;
  }
  __device__ __forceinline__ uint8_t* memory(int stage) const { return pipeline.stages + stage * C::kStageBytes; }
};

// Queries become bf16 in the operand's layout; rows that do not exist become zeros. `raw`: [64][kDim].
template <typename C, bool kF32>
__device__ __forceinline__ void convert(const uint8_t* raw, int rows, uint8_t* queries) {
  constexpr int kQuads = C::kDim / 4, kEach = kGroupRows * kQuads / kGroupThreads;
#pragma unroll
  for (int i = 0; i < kEach; ++i) {
    const int at = i * kGroupThreads + static_cast<int>(threadIdx.x) % kGroupThreads;
    const int row = at / kQuads, quad = at % kQuads;
    uint2 words;
    if constexpr (kF32) {
      const float4 v = reinterpret_cast<const float4*>(raw)[at];
      words = {two_bf16(v.x, v.y), two_bf16(v.z, v.w)};
    } else {
      words = reinterpret_cast<const uint2*>(raw)[at];
    }
    *reinterpret_cast<uint2*>(queries + C::offset(row, quad / 2) + quad % 2 * 8) =
        row < rows ? words : make_uint2(0, 0);
  }
}

template <typename C>
__device__ __forceinline__ void convert_queries(PromptGroup<C>& g, const Tile& tile) {
  const int first = g.take(), second = g.take();
  const uint8_t* const raw = g.memory(g.group == 0 ? first : second);
  const int rows = (tile.token_end - tile.token) * g.s.heads - g.group * kGroupRows;
  if (g.s.p.q.type == Type::kF32) {
    convert<C, true>(raw, rows, g.queries);
  } else {
    convert<C, false>(raw, rows, g.queries);
  }
  publish_writes();
  sync_group(g.group);
  g.release(first);
  g.release(second);
}

// Memory past a sequence's last key may hold anything, NaN too, which a probability of 0 would keep.
template <typename C>
__device__ __forceinline__ void clear_values(const PromptGroup<C>& g, uint8_t* values, int from) {
  constexpr int kWords = C::kDim / 8;
  if (from >= kTileKeys) return;
  for (int i = threadIdx.x % kGroupThreads; i < (kTileKeys - from) * kWords; i += kGroupThreads) {
    *reinterpret_cast<uint4*>(values + C::offset(from + i / kWords, i % kWords)) = make_uint4(0, 0, 0, 0);
  }
  publish_writes();
  sync_group(g.group);
}

// scores = queries keys^T.
template <typename C>
__device__ __forceinline__ void score(const PromptGroup<C>& g, int stage, float (&scores)[kScores]) {
  const uint64_t queries = matrix_descriptor(g.queries, C::kEightBytes);
  const uint64_t keys = matrix_descriptor(g.memory(stage), C::kEightBytes);
#pragma unroll
  for (int k = 0; k < C::kDim / 16; ++k) {
    const int step = (k / 4 * 1024 + k % 4 * 32) >> 4;
    if (k == 0) {
      wgmma_bf16_first(scores, queries, keys);
    } else {
      wgmma_bf16(scores, queries + step, keys + step);
    }
  }
  wgmma_commit();
}

// sums += probabilities values.
template <typename C>
__device__ __forceinline__ void add_values(const PromptGroup<C>& g, int stage, const uint32_t (&words)[kScores / 2],
                                           float (&sums)[C::kDim / 2]) {
  const uint64_t values = matrix_descriptor(g.memory(stage), C::kEightBytes, 1024);
#pragma unroll
  for (int k = 0; k < kTileKeys / 16; ++k) {
    wgmma_bf16_rows(sums, words + 4 * k, values + k * (2 * C::kEightBytes >> 4));
  }
  wgmma_commit();
}

// All runs of keys of a tile that has some.
template <typename C>
__device__ __forceinline__ void attend(PromptGroup<C>& g, const PromptWork& work, PromptRows& rows,
                                       PromptSoftmax& softmax, float (&sums)[C::kDim / 2]) {
  float scores[kScores], shrink[2];
  uint32_t words[kScores / 2];
#pragma unroll
  for (int i = 0; i < kScores; ++i) scores[i] = 0;
  int keys = g.take();
  wgmma_fence();
  score(g, keys, scores);
  rows.find_keys(g.s.p.params);
  wgmma_wait<0>();
  pin(scores);
  g.release(keys);
  hide(rows, work.keys.begin, scores);
  softmax.weigh(g.s.scale, scores, shrink);
  to_words(scores, words);
  const int runs = work.runs(kTileKeys);
  for (int i = 1; i < runs; ++i) {
    keys = g.take();
    const int values = g.take();
    wait_for_turn(g.group);
    wgmma_fence();
    score(g, keys, scores);
    add_values(g, values, words, sums);
    give_turn(g.group);
    wgmma_wait<1>();
    pin(scores);
    g.release(keys);
    hide(rows, work.keys.begin + i * kTileKeys, scores);
    const bool grew = softmax.weigh(g.s.scale, scores, shrink);
    pin(scores);
    g.pipeline.wait_full();  // of the next stage: a branch, above which the assembler does not move the next wait
    wgmma_wait<0>();
    pin(sums);
    g.release(values);
    if (grew) shrink_values(shrink, sums);
    to_words(scores, words);
  }
  const int values = g.take();
  clear_values(g, g.memory(values), work.keys.end - work.keys.begin - (runs - 1) * kTileKeys);
  wgmma_fence();
  add_values(g, values, words, sums);
  wgmma_wait<0>();
  pin(sums);
  g.release(values);
}

template <typename C>
__device__ __forceinline__ void consume(PromptGroup<C> g, const PromptWork* works) {
  if (g.group == 1) give_turn(g.group);  // the first turn is warpgroup 0's
  while (true) {
    g.pipeline.wait_full();
    const PromptWork work = works[g.pipeline.next.stage];
    if (work.tile.seq < 0) return;
    PromptRows rows(g.s, work.tile, g.group * kGroupRows);
    convert_queries(g, work.tile);
    PromptSoftmax softmax(g.s, rows);
    float sums[C::kDim / 2];
#pragma unroll
    for (int i = 0; i < C::kDim / 2; ++i) sums[i] = 0;
    if (work.keys.end > work.keys.begin) attend(g, work, rows, softmax, sums);
    const float part[2] = {part_of(softmax.total(0)), part_of(softmax.total(1))};
    write_rows(g.s, rows, {C::kDim, 0}, part, sums);
  }
}

// By one warp.
template <typename C>
__device__ __forceinline__ void produce(const TileShape& s, const PromptCache& cache, Pipeline<C> pipeline,
                                        PromptWork* works) {
  PromptCopies<C> copies(s, cache, pipeline);
  take_tiles(s, cache.keys, [&](const PromptWork& work) {
    copies.queries(work, works);
    copies.keys_and_values(work);
  });
}

template <typename C>
__global__ void __launch_bounds__(C::kBlockThreads, 1)
    wgmma_kernel(const __grid_constant__ TileShape s, const __grid_constant__ PromptCache cache) {
  extern __shared__ uint8_t memory[];
  __shared__ Ring<C> ring;
  __shared__ PromptWork works[C::kStages];
  uint8_t* const queries = begin_of_stages(memory);
  uint8_t* const stages = queries + C::kGroups * C::kRowsBytes;
  if (threadIdx.x == 0) begin_ring(ring);
  __syncthreads();
  wait_for_input();
  const int group = static_cast<int>(threadIdx.x) / kGroupThreads;
  if (group == C::kGroups) {
    asm volatile("setmaxnreg.dec.sync.aligned.u32 48;");
    if (threadIdx.x % kGroupThreads < kWarp) produce<C>(s, cache, {stages, ring, {}}, works);
  } else {
    asm volatile("setmaxnreg.inc.sync.aligned.u32 224;");
    consume<C>({s, {stages, ring, {}}, queries + group * C::kRowsBytes, group}, works);
  }
}

// False: the driver refuses the map.
template <typename C>
bool encode_cache(const AttentionProblem& p, PromptCache* cache) {
  const auto block = static_cast<uint64_t>(p.kv.block_size), heads = static_cast<uint64_t>(p.kv.n_kv_heads);
  cache->keys = static_cast<int>(std::gcd(p.kv.block_size, kTileKeys));
  constexpr uint64_t kRowBytes = C::kDim * 2;
  constexpr uint32_t kHalves = C::kDim / 64;
  const MapAxis axes[] = {{64, 0, 64},
                          {8, kRowBytes, 8},
                          {kHalves, 128, kHalves},
                          {block / 8, 8 * kRowBytes, static_cast<uint32_t>(cache->keys / 8)},
                          {static_cast<uint64_t>(p.kv.n_blocks) * 2 * heads, block * kRowBytes, 1}};
  return encode_tensor_map(p.kv.data, axes, 5, true, &cache->map);
}

template <int kDim>
void launch_wgmma(const AttentionProblem& p, cudaStream_t stream) {
  using C = PromptConfig<kDim>;
  const UnpackedProblem unpacked = p.kv.packed() ? unpacked_problem(p) : UnpackedProblem{p, true};
  TileShape s = shape_of(unpacked.problem);
  PromptCache cache;
  if (p.n_counters < 2 || !unpacked.fits || !encode_cache<C>(s.p, &cache)) return paged_attention_mma(p, stream);
  const NarrowShare narrow = narrow_share(p);
  if (narrow.most >= 0) paged_attention_narrow(p, narrow.most, stream);
  s.from = narrow.most + 1;
  if (p.kv.packed()) unpack_cache(p, unpacked.problem, s.from, stream);
  allow_shared<wgmma_kernel<C>>(C::kSharedBytes);
  const dim3 tiles = shape_grid(s, C::kTileRows, kDim, 1, false);
  const int64_t most = static_cast<int64_t>(tiles.x) * tiles.y, blocks = std::min<int64_t>(most, s.p.n_multiprocessors);
  launch_after(wgmma_kernel<C>, {dim3(static_cast<unsigned>(blocks)), dim3(C::kBlockThreads), C::kSharedBytes, stream},
               s, cache);
}

}  // namespace

bool paged_attention_wgmma_fits(const AttentionProblem& p) {
  // No keys are split. A few tiles over long contexts would leave multiprocessors idle; paged_attention_mma splits
  // them.
  constexpr int kShort = 1024;
  const Kv& kv = p.kv;
  const bool dim = (kv.key_dim == 64 || kv.key_dim == 128) && kv.value_dim == kv.key_dim && !kv.latent;
  if (!dim || !in_tiles(p) || !rows_aligned(p.out, 16) || p.params.n_heads / kv.n_kv_heads > 128) return false;
  if (narrow_share(p).all) return false;
  const int64_t rows = static_cast<int64_t>(p.n_tokens - p.n_seqs + 1) * p.params.n_heads;
  return (p.keys_most > 0 && p.keys_most <= kShort) || rows >= int64_t{64} * p.n_multiprocessors;
}

void paged_attention_wgmma(const AttentionProblem& p, cudaStream_t stream) {
  p.kv.key_dim == 64 ? launch_wgmma<64>(p, stream) : launch_wgmma<128>(p, stream);
}

}  // namespace polymath::backend::cuda
