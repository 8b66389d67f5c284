// MLA prompts in the absorbed form (DeepSeek-V2, arXiv:2405.04434) on Hopper's asynchronous tensor cores.
//
// A tile is 64 query rows, the heads of a few tokens, over runs of 64 keys. 512 sums a row fill the registers of two
// warpgroups. So each adds half of the value columns of every run. They score the runs by turns: warpgroup 0 those of
// stage 0, warpgroup 1 those of stage 1. So one multiplies while the other computes probabilities. These replace the
// keys' last 64 elements, which no value has. Both warpgroups keep the rows' maxima. Who scores a run knows those of
// the run before, and shares the new ones.
//
// A block is persistent. One warp copies the runs (LatentCopies).
// Source: PTX ISA 9.0, wgmma and its matrix descriptors.

#include "backend/cuda/attention/prompt_rows.cuh"
#include "backend/cuda/attention/prompt_tiles.cuh"
#include "backend/cuda/attention/unpack_cache.h"
#include "backend/cuda/pipeline.cuh"
#include "backend/cuda/tensor_map.h"

namespace polymath::backend::cuda {
namespace {

constexpr int kKeyDim = 576, kValueDim = 512, kColumns = kValueDim / 2;  // kColumns: of values, a warpgroup's
constexpr int kRunKeys = 64;
constexpr int kGroups = 2, kBlockThreads = (kGroups + 1) * kGroupThreads;

// Shared memory: queries, then two stages. A stage has a run's first 256 elements, its next 256, and the last 64. An
// operand's eight rows are its 64-element parts, 1024 bytes each in the 128-byte swizzle.
constexpr int kPart = 1024, kEightOfQueries = kKeyDim / 64 * kPart, kEightOfHalf = kColumns / 64 * kPart;
constexpr int kQueryBytes = kGroupRows / 8 * kEightOfQueries;
constexpr int kHalfBytes = kRunKeys / 8 * kEightOfHalf, kRestBytes = kRunKeys / 8 * kPart;
constexpr int kRunBytes = 2 * kHalfBytes + kRestBytes;
constexpr size_t kSharedBytes = kQueryBytes + 2 * kRunBytes + 1024;  // to be aligned

// The ring's stages are a run's halves; the last 64 elements come with the second one. Warpgroup i releases half i.
struct Halves {
  static constexpr int kStages = 4, kGroups = 1;
};
struct Hall {
  Ring<Halves> ring;
  PromptWork works[Halves::kStages];  // of a tile's first run
  float2 states[2][kGroupRows];       // of each stage's run: a row's maximum, and what earlier sums shrink by
  float totals[kGroups][kGroupRows];  // each warpgroup's share of the probabilities' sums
};

// The cache as TMA sees it. Axes: 64 elements, 8 keys, parts of a row, eights of a block's keys, a block's heads.
struct LatentCache {
  CUtensorMap half, rest;  // boxes of 4 parts and of 1
  int keys;                // of one copy: they are contiguous; a power of two from 8 to 64
};

// Runs are counted over all tiles: run n is in stage n % 2.
__device__ __forceinline__ int slot_of(int n, int half) { return n % 2 * 2 + half; }
__device__ __forceinline__ uint32_t phase_of(int n) { return static_cast<uint32_t>(n) / 2 % 2; }

// Hardware barriers; 0 is __syncthreads().
__device__ __forceinline__ int weights_barrier(int stage) { return 1 + stage; }
__device__ __forceinline__ void sync_group(int group) {
  asm volatile("bar.sync %0, %1;" ::"r"(3 + group), "n"(kGroupThreads) : "memory");
}
__device__ __forceinline__ void sync_both() {
  asm volatile("bar.sync 5, %0;" ::"n"(kGroups * kGroupThreads) : "memory");
}
// The probabilities of a stage's run are there, and its states.
__device__ __forceinline__ void give_weights(int stage) {
  asm volatile("bar.arrive %0, %1;" ::"r"(weights_barrier(stage)), "n"(kGroups * kGroupThreads) : "memory");
}
__device__ __forceinline__ void wait_for_weights(int stage) {
  asm volatile("bar.sync %0, %1;" ::"r"(weights_barrier(stage)), "n"(kGroups * kGroupThreads) : "memory");
}

// A tile without keys has one run, too: all of it is masked.
__device__ __forceinline__ int runs_of(const PromptWork& work) { return max(work.runs(kRunKeys), 1); }

// A warpgroup's view of the block. It scores the runs of stage `group`.
struct LatentGroup {
  const TileShape& s;
  Hall& hall;
  uint8_t *queries, *stages;
  int group;
  int run = 0;  // the tile's first

  __device__ __forceinline__ int other() const { return 1 - group; }
  __device__ __forceinline__ uint8_t* half(int stage, int i) const {
    return stages + stage * kRunBytes + i * kHalfBytes;
  }
  __device__ __forceinline__ uint8_t* rest(int stage) const { return half(stage, 2); }
  __device__ __forceinline__ void wait_full(int n, int i) const {
    barrier_wait(&hall.ring.full[slot_of(n, i)], phase_of(n));
  }
  // This warpgroup is done with its half of a stage.
  __device__ __forceinline__ void release(int stage) const {
    if (threadIdx.x % kGroupThreads == 0) barrier_arrive(&hall.ring.empty[slot_of(stage, group)]);
  }
};

// This thread's row `h` of a tile.
__device__ __forceinline__ int row_of(int h) {
  return static_cast<int>(threadIdx.x) % kGroupThreads / kWarp * 16 + h * 8 + static_cast<int>(threadIdx.x) % kWarp / 4;
}

// A lane's share of a query row: four elements a word, f32 or bf16.
template <typename Word>
class QueryRow {
 public:
  // Zeros for a row that does not exist.
  __device__ __forceinline__ void load(const TileShape& s, const RowPlace& place) {
    const int64_t from = place.token * s.p.q.stride + static_cast<int64_t>(place.head) * kKeyDim;
#pragma unroll
    for (int i = 0; i < kEach; ++i) {
      words_[i] = {};
      if (place.token >= 0 && at(i) < kWords) words_[i] = static_cast<const Word*>(s.p.q.data)[from / 4 + at(i)];
    }
  }
  // As bf16 into the operand.
  __device__ __forceinline__ void store(int row, uint8_t* queries) const {
    uint8_t* const to = queries + row / 8 * kEightOfQueries + row % 8 * 128;
#pragma unroll
    for (int i = 0; i < kEach; ++i) {
      if (at(i) >= kWords) continue;
      const int two = at(i) / 2;
      *reinterpret_cast<uint2*>(to + two / 8 * kPart + (two % 8 ^ row % 8) * 16 + at(i) % 2 * 8) = rounded(words_[i]);
    }
  }

 private:
  static constexpr int kWords = kKeyDim / 4, kEach = (kWords + kWarp - 1) / kWarp;
  __device__ static __forceinline__ int at(int i) { return static_cast<int>(threadIdx.x) % kWarp + i * kWarp; }
  __device__ static __forceinline__ uint2 rounded(const float4& v) { return {two_bf16(v.x, v.y), two_bf16(v.z, v.w)}; }
  __device__ static __forceinline__ uint2 rounded(const uint2& v) { return v; }

  Word words_[kEach];
};

// By both warpgroups: a warp has eight rows.
template <typename Word>
__device__ __forceinline__ void convert_queries(const TileShape& s, const Tile& tile, uint8_t* queries) {
  constexpr int kBatch = 4;  // rows in flight together
  const int first = static_cast<int>(threadIdx.x) / kWarp * 8;
#pragma unroll 1
  for (int row = first; row < first + 8; row += kBatch) {
    QueryRow<Word> rows[kBatch];
#pragma unroll
    for (int i = 0; i < kBatch; ++i) rows[i].load(s, place_of(s, tile, row + i));
#pragma unroll
    for (int i = 0; i < kBatch; ++i) rows[i].store(row + i, queries);
  }
}

// scores = queries keys^T of run n, one of this warpgroup's: two groups of wgmma.
__device__ __forceinline__ void score(const LatentGroup& g, int n, float (&scores)[kRunKeys / 2]) {
  const uint64_t queries = matrix_here(matrix_descriptor(g.queries, kEightOfQueries));
#pragma unroll
  for (int part = 0; part < kKeyDim / 64; ++part) {
    const int half = part / 4;
    if (part == 0 || part == 4) {
      if (part > 0) wgmma_commit();
      g.wait_full(n, half);
      wgmma_fence();
    }
    const uint64_t keys = matrix_here(matrix_descriptor(g.half(g.group, half), half < 2 ? kEightOfHalf : kPart));
#pragma unroll
    for (int k = 0; k < 64; k += 16) {
      const uint64_t a = matrix_later(queries, part * kPart + k * 2), b = matrix_later(keys, part % 4 * kPart + k * 2);
      if (part == 0 && k == 0) {
        wgmma_bf16_first(scores, a, b);
      } else {
        wgmma_bf16(scores, a, b);
      }
    }
  }
  wgmma_commit();
}

// This warpgroup's probabilities and the rows' states, for both.
__device__ __forceinline__ void share(const LatentGroup& g, const PromptSoftmax& softmax, const float (&shrink)[2],
                                      const float (&scores)[kRunKeys / 2]) {
  const int lane = threadIdx.x % kWarp, eight = lane / 8, row = row_of(0) - lane / 4 + eight % 2 * 8 + lane % 8;
  const uint32_t to = shared_place(g.rest(g.group)) + row * 128 + (eight / 2 ^ lane % 8) * 16;
#pragma unroll
  for (int word = 0; word < kRunKeys / 8; word += 2) {
    uint32_t pairs[4];
#pragma unroll
    for (int i = 0; i < 4; ++i) pairs[i] = two_bf16(scores[4 * word + 2 * i], scores[4 * word + 2 * i + 1]);
    store_matrices(to ^ word * 16, pairs);
  }
#pragma unroll
  for (int h = 0; h < 2; ++h) {
    if (lane % 4 == 0) g.hall.states[g.group][row_of(h)] = {softmax.max[h], shrink[h]};
  }
  publish_writes();
  give_weights(g.group);
}

// What the other warpgroup shared. True: a maximum grew.
__device__ __forceinline__ bool take_state(const LatentGroup& g, PromptSoftmax& softmax, float (&shrink)[2]) {
  bool grew = false;
#pragma unroll
  for (int h = 0; h < 2; ++h) {
    const float2 state = g.hall.states[g.other()][row_of(h)];
    shrink[h] = state.y;
    grew = grew || state.x > softmax.max[h];
    softmax.max[h] = state.x;
    softmax.sum[h] *= state.y;
  }
  return __any_sync(kAllLanes, grew);
}

// Memory past a sequence's last key may hold anything, NaN too, which a probability of 0 would keep.
__device__ __forceinline__ void clear_values(const LatentGroup& g, int stage, int from) {
  if (from >= kRunKeys) return;
  constexpr int kWords = kColumns / 8;
#pragma unroll 1
  for (int i = threadIdx.x % kGroupThreads; i < (kRunKeys - from) * kWords; i += kGroupThreads) {
    const int key = from + i / kWords, word = i % kWords;  // in which order a row's words lie does not matter
    uint8_t* const to =
        g.half(stage, g.group) + key / 8 * kEightOfHalf + word / 8 * kPart + key % 8 * 128 + word % 8 * 16;
    *reinterpret_cast<uint4*>(to) = make_uint4(0, 0, 0, 0);
  }
  publish_writes();
  sync_group(g.group);
}

// sums += probabilities values of a stage: this warpgroup's columns.
__device__ __forceinline__ void add_values(const LatentGroup& g, int stage, float (&sums)[kColumns / 2]) {
  const uint64_t weights = matrix_here(matrix_descriptor(g.rest(stage), kPart));
  const uint64_t values = matrix_here(matrix_descriptor(g.half(stage, g.group), kEightOfHalf, kPart));
  wgmma_fence();
#pragma unroll
  for (int k = 0; k < kRunKeys / 16; ++k) {
    wgmma_bf16_columns(sums, matrix_later(weights, k * 32), matrix_later(values, k * 2 * kEightOfHalf));
  }
  wgmma_commit();
}

// A warpgroup's part of a tile.
struct Attention {
  const LatentGroup& g;
  const PromptWork& work;
  const PromptRows& rows;
  PromptSoftmax& softmax;

  // Scores of the tile's run i become probabilities, which both warpgroups then have. True: a maximum grew.
  __device__ __forceinline__ bool weigh(int i, float (&scores)[kRunKeys / 2], float (&shrink)[2]) const {
    hide(rows, work.keys.begin + i * kRunKeys, scores);
    const bool grew = softmax.weigh(g.s.scale, scores, shrink);
    share(g, softmax, shrink, scores);
    return grew;
  }
  // Adds the values of run i, which this warpgroup has scored.
  __device__ __forceinline__ void add_own(int i, bool grew, const float (&shrink)[2],
                                          float (&sums)[kColumns / 2]) const {
    if (grew) shrink_values(shrink, sums);
    clear_values(g, g.group, work.keys.end - work.keys.begin - i * kRunKeys);
    sync_group(g.group);  // all its probabilities are there
    add_values(g, g.group, sums);
    end_values(g.group, sums);
  }
  // Starts to add the values of run i, which the other warpgroup has scored.
  __device__ __forceinline__ void start_other(int i, float (&sums)[kColumns / 2]) const {
    float shrink[2];
    wait_for_weights(g.other());
    g.wait_full(g.run + i, g.group);  // the other warpgroup has waited, too; this orders the reads of values
    if (take_state(g, softmax, shrink)) shrink_values(shrink, sums);
    clear_values(g, g.other(), work.keys.end - work.keys.begin - i * kRunKeys);
    add_values(g, g.other(), sums);
  }
  __device__ __forceinline__ void end_values(int stage, float (&sums)[kColumns / 2]) const {
    wgmma_wait<0>();
    pin(sums);
    g.release(stage);
  }
};

// All runs of a tile. The warpgroups score them by turns.
__device__ __forceinline__ void attend(const Attention& a, float (&sums)[kColumns / 2]) {
  const int runs = runs_of(a.work);
  float scores[kRunKeys / 2], shrink[2];
#pragma unroll
  for (int j = 0; j < kRunKeys / 2; ++j) scores[j] = 0;
  int i = (a.g.run ^ a.g.group) & 1;
  if (i == 1) {
    a.start_other(0, sums);
    a.end_values(a.g.other(), sums);
  }
  if (i >= runs) return;
  score(a.g, a.g.run + i, scores);
  wgmma_wait<0>();
  pin(scores);
  bool grew = a.weigh(i, scores, shrink);
  for (; i + 2 < runs; i += 2) {
    a.add_own(i, grew, shrink, sums);
    a.start_other(i + 1, sums);
    score(a.g, a.g.run + i + 2, scores);
    wgmma_wait<2>();
    a.g.release(a.g.other());
    wgmma_wait<0>();
    pin(scores);
    pin(sums);
    grew = a.weigh(i + 2, scores, shrink);
  }
  a.add_own(i, grew, shrink, sums);
  if (i + 1 >= runs) return;
  a.start_other(i + 1, sums);
  a.end_values(a.g.other(), sums);
}

// What the rows' sums are multiplied with in the end.
__device__ __forceinline__ void find_parts(const LatentGroup& g, const PromptSoftmax& softmax, float (&part)[2]) {
  float total[2];
#pragma unroll
  for (int h = 0; h < 2; ++h) {
    total[h] = softmax.total(h);
    if (threadIdx.x % 4 == 0) g.hall.totals[g.group][row_of(h)] = total[h];
  }
  sync_both();
#pragma unroll
  for (int h = 0; h < 2; ++h) {
    total[h] += g.hall.totals[1 - g.group][row_of(h)];
    part[h] = part_of(total[h]);
  }
}

__device__ __forceinline__ void consume(LatentGroup g) {
  while (true) {
    g.wait_full(g.run, g.group);
    const PromptWork work = g.hall.works[slot_of(g.run, g.group)];
    if (work.tile.seq < 0) return;
    PromptRows rows(g.s, work.tile, 0);
    if (g.s.p.q.type == Type::kF32) {
      convert_queries<float4>(g.s, work.tile, g.queries);
    } else {
      convert_queries<uint2>(g.s, work.tile, g.queries);
    }
    publish_writes();
    sync_both();
    PromptSoftmax softmax(g.s, rows);
    float sums[kColumns / 2], part[2];
#pragma unroll
    for (int i = 0; i < kColumns / 2; ++i) sums[i] = 0;
    pin(sums);
    rows.find_keys(g.s.p.params);
    attend({g, work, rows, softmax}, sums);
    find_parts(g, softmax, part);
    write_rows(g.s, rows, {kValueDim, g.group * kColumns}, part, sums);
    g.run += runs_of(work);
  }
}

// The copying warp. Every method is called by all of its lanes.
class LatentCopies {
 public:
  __device__ __forceinline__ LatentCopies(const TileShape& s, const LatentCache& cache, Hall& hall, uint8_t* stages)
      : s_(s),
        cache_(cache),
        hall_(hall),
        stages_(stages),
        lane_(threadIdx.x % kWarp),
        table_cols_(static_cast<int>(table_cols_of(s.p))) {}

  // A tile's runs, with the tile beside both halves of the first. seq -1: there are no more.
  __device__ __forceinline__ void send(const PromptWork& work) {
    if (work.tile.seq >= 0) prefetch_queries(work.tile);
    const int runs = runs_of(work);
    KeyCopy now = look_up(work, 0);
#pragma unroll 1
    for (int i = 0; i < runs; ++i, ++run_) {
      const KeyCopy next = look_up(work, i + 1);  // in flight while this run's stage becomes empty
      copy_half(work, i == 0, now, 0);
      copy_half(work, i == 0, now, 1);
      now = next;
    }
  }

 private:
  // Into the L2 cache, while the tile before is computed.
  __device__ __forceinline__ void prefetch_queries(const Tile& tile) const {
    const int size = s_.p.q.type == Type::kF32 ? 4 : 2;
    const int head = tile.kv_head * s_.group + tile.head_begin, heads = min(s_.heads, s_.group - tile.head_begin);
    const auto* const from = static_cast<const uint8_t*>(s_.p.q.data);
    for (int token = tile.token + lane_; token < tile.token_end; token += kWarp) {
      const int64_t at = token * s_.p.q.stride + static_cast<int64_t>(head) * kKeyDim;
      prefetch_bulk(from + at * size, static_cast<uint32_t>(heads * kKeyDim * size));
    }
  }
  __device__ __forceinline__ KeyCopy look_up(const PromptWork& work, int run) const {
    const int key = lane_ * cache_.keys;
    if (key >= kRunKeys) return {-1, 0};
    return find_copy(s_, work, work.keys.begin + run * kRunKeys + key, table_cols_);
  }
  __device__ __forceinline__ void copy_half(const PromptWork& work, bool first, const KeyCopy& copy, int half) {
    const int slot = slot_of(run_, half), eights = cache_.keys / 8;
    barrier_wait(&hall_.ring.empty[slot], phase_of(run_) ^ 1);
    const int copies = __popc(__ballot_sync(kAllLanes, copy.block >= 0));
    uint64_t* const full = &hall_.ring.full[slot];
    if (lane_ == 0) {
      if (first) hall_.works[slot] = work;
      barrier_expect(full, static_cast<uint32_t>(copies * eights * (kEightOfHalf + half * kPart)));
    }
    __syncwarp();
    if (copy.block >= 0) {
      uint8_t* const to = stages_ + run_ % 2 * kRunBytes;
      const int row = copy.block * s_.p.kv.n_kv_heads + work.tile.kv_head;
      copy_tensor_5d(to + half * kHalfBytes + lane_ * eights * kEightOfHalf, &cache_.half, full, 0, 0, half * 4,
                     copy.eight, row);
      if (half == 1) {
        copy_tensor_5d(to + 2 * kHalfBytes + lane_ * eights * kPart, &cache_.rest, full, 0, 0, 8, copy.eight, row);
      }
    }
  }

  const TileShape& s_;
  const LatentCache& cache_;
  Hall& hall_;
  uint8_t* const stages_;
  const int lane_, table_cols_;
  int run_ = 0;  // of all tiles
};

__global__ void __launch_bounds__(kBlockThreads, 1)
    latent_kernel(const __grid_constant__ TileShape s, const __grid_constant__ LatentCache cache) {
  extern __shared__ uint8_t memory[];
  __shared__ Hall hall;
  uint8_t* const queries = begin_of_stages(memory);
  uint8_t* const stages = queries + kQueryBytes;
  if (threadIdx.x == 0) begin_ring(hall.ring);
  __syncthreads();
  wait_for_input();
  // Equal in a warp, as the compiler must know: else it waits after each wgmma.
  const int group = __reduce_max_sync(kAllLanes, static_cast<int>(threadIdx.x) / kGroupThreads);
  if (group == kGroups) {
    asm volatile("setmaxnreg.dec.sync.aligned.u32 56;");
    if (threadIdx.x % kGroupThreads >= kWarp) return;
    LatentCopies copies(s, cache, hall, stages);
    take_tiles(s, cache.keys, [&](const PromptWork& work) { copies.send(work); });
  } else {
    asm volatile("setmaxnreg.inc.sync.aligned.u32 224;");
    consume({s, hall, queries, stages, group});
  }
}

// False: the driver refuses a map.
bool encode_cache(const AttentionProblem& p, LatentCache* cache) {
  const auto block = static_cast<uint64_t>(p.kv.block_size), heads = static_cast<uint64_t>(p.kv.n_kv_heads);
  cache->keys = static_cast<int>(std::gcd(p.kv.block_size, kRunKeys));
  constexpr uint64_t kRowBytes = kKeyDim * 2;
  MapAxis axes[] = {{64, 0, 64},
                    {8, kRowBytes, 8},
                    {kKeyDim / 64, 128, kColumns / 64},
                    {block / 8, 8 * kRowBytes, static_cast<uint32_t>(cache->keys / 8)},
                    {static_cast<uint64_t>(p.kv.n_blocks) * heads, block * kRowBytes, 1}};
  if (!encode_tensor_map(p.kv.data, axes, 5, true, &cache->half)) return false;
  axes[2].box = 1;
  return encode_tensor_map(p.kv.data, axes, 5, true, &cache->rest);
}

}  // namespace

bool mla_prefill_wgmma_fits(const AttentionProblem& p) {
  // No keys are split: a few tiles over long contexts would leave multiprocessors idle.
  constexpr int kShort = 1024;
  if (!mla_fits(p) || !rows_aligned(p.out, 16) || narrow_share(p).all) return false;
  const int64_t rows = static_cast<int64_t>(p.n_tokens - p.n_seqs + 1) * p.params.n_heads;
  return (p.keys_most > 0 && p.keys_most <= kShort) || rows >= int64_t{kGroupRows / 2} * p.n_multiprocessors;
}

void mla_prefill_wgmma(const AttentionProblem& p, cudaStream_t stream) {
  const UnpackedProblem unpacked = p.kv.packed() ? unpacked_problem(p) : UnpackedProblem{p, true};
  TileShape s = shape_of(unpacked.problem);
  LatentCache cache;
  if (p.n_counters < 2 || !unpacked.fits || !encode_cache(s.p, &cache)) return mla_prefill(p, stream);
  const NarrowShare narrow = narrow_share(p);
  if (narrow.most >= 0) mla_narrow(p, narrow.most, stream);
  s.from = narrow.most + 1;
  if (p.kv.packed()) unpack_cache(p, unpacked.problem, s.from, stream);
  allow_shared<latent_kernel>(kSharedBytes);
  const dim3 tiles = shape_grid(s, kGroupRows, kValueDim, 1, false);
  const int64_t most = static_cast<int64_t>(tiles.x) * tiles.y, blocks = std::min<int64_t>(most, p.n_multiprocessors);
  launch_after(latent_kernel, {dim3(static_cast<unsigned>(blocks)), dim3(kBlockThreads), kSharedBytes, stream}, s,
               cache);
}

}  // namespace polymath::backend::cuda
