// Attention of steps with one query a sequence, over a paged bf16 cache on tensor cores.
//
// Bound by memory; short contexts by latency. So warps do not synchronise before the end. The code is small: a layer's
// weights evict it from the instruction cache. A block has up to 8 or 16 heads of a kv head. Each warp streams every
// kBlockWarps-th slice of 16 keys through its own ring in shared memory.
//
// The matrix multiplications are transposed. Keys, then a head's elements, are the side of 16; heads are the side of 8.
// Queries then go from global memory to registers in mma layout, and probabilities from the first to the second. Warps'
// and splits' sums merge as in paged_attention_mma.cu. A packed cache's codes become bf16 in registers; the scales
// multiply scores and probabilities.
//
// Sources: Dao, "FlashAttention-2" (arXiv:2307.08691); PTX ISA 9.0 for the fragments of ldmatrix, mma and movmatrix.

#include "backend/cuda/attention/attention.h"
#include "backend/cuda/attention/decode_heads.cuh"
#include "backend/cuda/attention/fused_qkv.cuh"

namespace polymath::backend::cuda {
namespace {

__device__ __forceinline__ float inverse(float x) {
  float y;
  asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

// Queries as the second operand. Lane l has, of head l / 4 of each 8, elements 2 (l % 4) + {0, 1} of each 8. Padding
// heads repeat the last one. The next kernel starts once all loads are in flight.
template <typename P, int kDim, int kTiles>
__device__ __forceinline__ void load_queries(const TileShape& s, const Tile& tile, int heads,
                                             uint32_t (&q)[kTiles][kDim / 8]) {
  const int lane = threadIdx.x % kWarp, head = tile.kv_head * s.group + tile.head_begin;
  const int64_t begin = tile.token * s.p.q.stride + head * kDim;
  int place[kTiles];
#pragma unroll
  for (int t = 0; t < kTiles; ++t) place[t] = min(t * 8 + lane / 4, heads - 1) * kDim + lane % 4 * 2;
  if (s.p.q.type == Type::kF32) {
    const float* from = static_cast<const float*>(s.p.q.data) + begin;
    constexpr int kAll = kTiles * (kDim / 8), kBatch = kAll < 32 ? kAll : 32;  // in flight together
#pragma unroll
    for (int first = 0; first < kAll; first += kBatch) {
      float2 pairs[kBatch];
#pragma unroll
      for (int i = 0; i < kBatch; ++i) {
        const int t = (first + i) / (kDim / 8), n = (first + i) % (kDim / 8);
        pairs[i] = *reinterpret_cast<const float2*>(from + place[t] + n * 8);
      }
      if (first + kBatch == kAll) let_next_begin();
#pragma unroll
      for (int i = 0; i < kBatch; ++i) {
        q[(first + i) / (kDim / 8)][(first + i) % (kDim / 8)] = two_bf16(pairs[i].x, pairs[i].y);
      }
    }
    return;
  }
  const auto* from = static_cast<const __nv_bfloat16*>(s.p.q.data) + begin;
#pragma unroll
  for (int i = 0; i < kTiles * (kDim / 8); ++i) {
    const int t = i / (kDim / 8), n = i % (kDim / 8);
    q[t][n] = *reinterpret_cast<const uint32_t*>(from + place[t] + n * 8);
  }
  let_next_begin();
}

// A warp's sums into its ring: the elements of each head, then {maximum, sum} of each.
template <typename P, int kDim, int kTiles>
__device__ __forceinline__ void put_sums(HeadSums<kDim, kTiles>& sums, int heads, unsigned char* ring) {
  const int lane = threadIdx.x % kWarp;
#pragma unroll
  for (int step = 4; step < kWarp; step *= 2) {
#pragma unroll
    for (int i = 0; i < 2 * kTiles; ++i) {
      sums.sum[i / 2][i % 2] += __shfl_xor_sync(kAllLanes, sums.sum[i / 2][i % 2], step);
    }
  }
#pragma unroll
  for (int t = 0; t < kTiles; ++t) {
    if (lane < 4) {
      *reinterpret_cast<float4*>(ring + P::kMaxima + (t * 8 + lane * 2) * static_cast<int>(sizeof(float2))) = {
          sums.max[t][0], sums.sum[t][0], sums.max[t][1], sums.sum[t][1]};
    }
#pragma unroll
    for (int h = 0; h < 2; ++h) {
      const int head = t * 8 + lane % 4 * 2 + h;
      if (head >= heads) continue;
      float* to = reinterpret_cast<float*>(ring) + head * P::kSumStride + lane / 4;
#pragma unroll
      for (int n = 0; n < kDim / 16; ++n) {
        to[n * 16] = sums.values[t][n][h];
        to[n * 16 + 8] = sums.values[t][n][h + 2];
      }
    }
  }
}

// Two elements of a head of the tile.
template <int kDim>
__device__ __forceinline__ void put_out(const TileShape& s, const Tile& tile, int head, int col, float2 v) {
  put_pair(s, tile.token, col + (tile.kv_head * s.group + tile.head_begin + head) * kDim, v.x, v.y);
}

// Merges the warps' sums in their order, into the output or the split's partial sums.
template <typename P, int kDim, int kBlockWarps>
__device__ __forceinline__ void put_heads(const TileShape& s, const Job& job, int heads, const unsigned char* memory) {
#pragma unroll 1
  for (unsigned i = threadIdx.x; i < heads * (kDim / 2); i += P::kBlockThreads) {
    const int head = i / (kDim / 2), col = i % (kDim / 2) * 2;
    const unsigned char *values = memory + (head * P::kSumStride + col) * static_cast<int>(sizeof(float)),
                        *maxima = memory + P::kMaxima + head * static_cast<int>(sizeof(float2));
    float2 warps[kBlockWarps];
    float top = negative_infinity(), total = 0;
#pragma unroll
    for (int w = 0; w < kBlockWarps; ++w) {
      warps[w] = *reinterpret_cast<const float2*>(maxima + w * P::kRing);
      top = fmaxf(top, warps[w].x);
    }
    const float base = top == negative_infinity() ? 0.0f : top;
    float2 v{};
#pragma unroll
    for (int w = 0; w < kBlockWarps; ++w) {
      const float2 part = *reinterpret_cast<const float2*>(values + w * P::kRing);
      const float factor = power_of_two(warps[w].x - base);
      total += warps[w].y * factor;
      v = {v.x + part.x * factor, v.y + part.y * factor};
    }
    if (job.split.used > 1) {
      const Partial<kDim> partial(s, job.tile, job.tile.split);
      *reinterpret_cast<float2*>(partial.values + head * kDim + col) = v;
      if (col == 0) partial.heads(s)[head] = {top, total};
      continue;
    }
    const float part = total > 0 ? inverse(total) : 0.0f;
    put_out<kDim>(s, job.tile, head, col, {v.x * part, v.y * part});
  }
}

// Called by all threads once their partial sums are written. The last block of the tile writes the output; it adds in
// the order of the splits. `factors`: shared memory, [heads][32].
template <typename P, int kDim, int kBlockWarps>
__device__ __forceinline__ void put_splits(const TileShape& s, const Job& job, int heads, float* factors) {
  constexpr int kDeep = 8;  // splits in flight together
  static_assert(kSplitsMax <= kWarp && kWarp % kDeep == 0);
  const Tile& tile = job.tile;
  const int used = job.split.used, lane = threadIdx.x % kWarp;
  if (!is_last(s.p.counters + tile.unit, static_cast<unsigned>(used))) return;
#pragma unroll 1
  for (int head = threadIdx.x / kWarp; head < heads; head += kBlockWarps) {
    float2 own{negative_infinity(), 0};
    if (lane < used) own = __ldcg(Partial<kDim>(s, tile, lane).heads(s) + head);
    const float top = warp_max(own.x), factor = power_of_two(own.x - (top == negative_infinity() ? 0.0f : top));
    const float total = warp_sum(own.y * factor);
    factors[head * kWarp + lane] = total > 0 ? factor * inverse(total) : 0.0f;
  }
  __syncthreads();
#pragma unroll 1
  for (unsigned i = threadIdx.x; i < heads * (kDim / 2); i += P::kBlockThreads) {
    const int head = i / (kDim / 2);
    float2 sum{};
#pragma unroll 1
    for (int first = 0; first < used; first += kDeep) {
      float2 v[kDeep];
#pragma unroll
      for (int k = 0; k < kDeep; ++k) {
        v[k] = __ldcg(reinterpret_cast<const float2*>(Partial<kDim>(s, tile, min(first + k, used - 1)).values) + i);
      }
#pragma unroll
      for (int k = 0; k < kDeep; ++k) {
        const float factor = factors[head * kWarp + first + k];  // 0 past the last split
        sum = {sum.x + v[k].x * factor, sum.y + v[k].y * factor};
      }
    }
    put_out<kDim>(s, tile, head, i % (kDim / 2) * 2, sum);
  }
}

// A slice in shared memory, as the cache has it.
struct Stage {
  uint32_t at;
  int key;  // the first
};
// Adds the keys that the query sees.
template <typename P, int kDim, int kTiles>
__device__ __forceinline__ void add_slice(const TileShape& s, const Job& job, const Stage& stage,
                                          const uint32_t (&q)[kTiles][kDim / 8], HeadSums<kDim, kTiles>& sums) {
  const auto [at, key] = stage;
  float scores[kTiles][4];
  if constexpr (P::kPacked) {
    SliceCodes codes{KvDecoder(s.p.kv.code)};
    codes.load(at + P::kScales);
    score_codes<kDim, kTiles>(Matrices<kDim / 2, false>(at), codes, q, scores);
    hide_keys<kTiles>(job.seen, job.split.end, key, scores);
    weigh_keys<kDim, kTiles>(s.scale, scores, sums);
    scale_weights<kTiles>(codes, job.split.end, key, scores);
    add_codes<kDim, kTiles>(Matrices<kDim / 2, true>(at + P::kHalf), codes.decoder, scores, sums);
  } else {
    score_keys<kDim, kTiles>(Matrices<kDim, false>(at), q, scores);
    hide_keys<kTiles>(job.seen, job.split.end, key, scores);
    weigh_keys<kDim, kTiles>(s.scale, scores, sums);
    add_weighed<kDim, kTiles>(Matrices<kDim, true>(at + P::kHalf), scores, sums);
  }
}

// kFresh: queries, new key and value come from `fresh`; otherwise `fresh` is not read.
template <int kDim, int kTiles, int kBlockWarps, bool kFresh, bool kPacked>
__global__ void __launch_bounds__(kBlockWarps* kWarp, kBlockWarps == 4 && kDim <= 128 ? 3 : 1)
    decode_kernel(const __grid_constant__ TileShape s, const __grid_constant__ QkvPrologue fresh) {
  using P = Plan<kDim, kTiles, kBlockWarps, kPacked>;
  extern __shared__ __align__(128) unsigned char memory[];
  // Key positions depend on the step's inputs alone, and earlier steps wrote all keys but the last. So keys are looked
  // up and fetched before the wait.
  const int64_t table_cols = table_cols_of(s.p);  // in flight beside the loads that find the job
  const Job job = begin_job(s, P::kRunKeys);
  if (agreed(job.tile.seq < 0 || job.tile.split >= job.split.used)) return;  // those that work wait for all

  __syncwarp();
  const int warp = threadIdx.x / kWarp, end = job.split.end;
  const int first = job.split.begin + warp * kSlice;                                            // key of this warp
  const int mine = static_cast<unsigned>(max(end - first + P::kRunKeys - 1, 0)) / P::kRunKeys;  // slices
  const bool has_new = job.has_new && mine > 0 && first + (mine - 1) * P::kRunKeys + kSlice >= end;
  const int heads = min(s.rows, s.group - job.tile.head_begin);
  const uint32_t ring = shared_place(memory) + warp * P::kRing;
  uint32_t q[kTiles][kDim / 8];
  Pages<P, kDim> pages(s, job, first, kFresh && has_new ? end - 1 : end, table_cols);
  auto& space = *reinterpret_cast<FreshSpace<kDim>*>(memory + P::kQueries);
  const NewKey new_key(fresh, job.tile, kFresh && has_new);
  if constexpr (kFresh) fetch_around<P, kDim>(fresh, job.tile.seq, job.tile.kv_head, space);
  const int old = !kFresh && has_new ? mine - 1 : mine;  // slices that are fetched before the wait, at most
#pragma unroll 1
  for (int i = 0; i < P::kStages; ++i) {
    __syncwarp();
    if (!kFresh && agreed(i == old)) wait_for_input();
    if (agreed(i < mine)) pages.fetch(i, ring + i * P::kStage);
    end_group();
  }
  if (kFresh || agreed(old >= P::kStages)) wait_for_input();
  if constexpr (kFresh) {
    const int head = job.tile.kv_head * s.group + min(static_cast<int>(threadIdx.x) % kWarp / 4, heads - 1);
    prepare_rows<P, kDim>({fresh, job.tile, head, new_key}, space, q[0]);
  } else {
    load_queries<P, kDim, kTiles>(s, job.tile, heads, q);
  }
  HeadSums<kDim, kTiles> sums;
  sums.clear(s, job.tile, warp == 0 && job.tile.split == 0);
  uint32_t stage = ring;
#pragma unroll 1
  for (int i = 0; agreed(i < mine); ++i) {
    wait_groups<P::kStages - 1>();
    __syncwarp();  // all lanes' words are there
    if (kFresh && agreed(has_new && i + 1 == mine)) put_row<P, kDim>(space, end - 1 - first - i * P::kRunKeys, stage);
    add_slice<P, kDim, kTiles>(s, job, {stage, first + i * P::kRunKeys}, q, sums);
    __syncwarp();  // the slice is read
    if (agreed(i + P::kStages < mine)) {
      pages.turn(i + P::kStages);
      pages.fetch(i + P::kStages, stage);
    }
    end_group();
    stage = stage + P::kStage == ring + P::kRing ? ring : stage + P::kStage;
  }
  put_sums<P, kDim, kTiles>(sums, heads, memory + warp * P::kRing);
  __syncthreads();
  put_heads<P, kDim, kBlockWarps>(s, job, heads, memory);
  if (job.split.used > 1) put_splits<P, kDim, kBlockWarps>(s, job, heads, reinterpret_cast<float*>(memory));
}

// Up to here a merge costs more than it saves. A step of shorter contexts has no blocks for splits: they would exit at
// once but delay the next kernel.
constexpr int kUncutKeys = 1024;
constexpr int64_t kWholeNormSeqsMax = 64;  // more: the composition
// Shared memory of which an SM fits two blocks but not three. Long contexts whose blocks all fit at once are thereby
// spread evenly over the SMs.
constexpr int kTwoEach = 80 << 10;

template <int kDim, int kTiles, int kBlockWarps, bool kFresh, bool kPacked>
void launch_warps(TileShape s, const QkvPrologue& fresh, cudaStream_t stream) {
  using P = Plan<kDim, kTiles, kBlockWarps, kPacked>;
  constexpr int kBytesMost = kBlockWarps == 4 && P::kBytes < kTwoEach ? kTwoEach : P::kBytes;
  allow_shared<decode_kernel<kDim, kTiles, kBlockWarps, kFresh, kPacked>>(kBytesMost);
  s.least_keys = 2 * P::kRunKeys;
  s.uncut_keys = kUncutKeys;
  s.kept_keys = static_cast<int>(kKeptBytes / static_cast<float>(kDim * (kPacked ? 2 : 4)) /
                                 static_cast<float>(s.p.n_seqs) / static_cast<float>(s.p.kv.n_kv_heads));
  const bool may_cut = s.p.keys_most == 0 || s.p.keys_most > kUncutKeys;
  const dim3 grid = shape_grid(s, P::kHeads, kDim, kBlockWarps == 4 ? 2 : 1, may_cut);
  const int64_t blocks = int64_t{s.p.n_seqs} * grid.x;
  const int bytes = may_cut && blocks <= 2 * s.p.n_multiprocessors ? kBytesMost : P::kBytes;
  launch_after(decode_kernel<kDim, kTiles, kBlockWarps, kFresh, kPacked>,
               {grid, dim3(P::kBlockThreads), static_cast<size_t>(bytes), stream}, s, fresh);
}

// A step of few blocks has an SM for each: more warps keep more keys in flight.
template <int kDim, int kTiles, bool kFresh, bool kPacked>
void launch_tiles(const TileShape& s, const QkvPrologue& fresh, cudaStream_t stream) {
  const int64_t blocks = s.p.n_seqs * s.p.kv.n_kv_heads * ceil_div(s.group, 8 * kTiles);
  if constexpr (kDim <= 128) {
    if (2 * blocks <= s.p.n_multiprocessors) return launch_warps<kDim, kTiles, 8, kFresh, kPacked>(s, fresh, stream);
  }
  launch_warps<kDim, kTiles, 4, kFresh, kPacked>(s, fresh, stream);
}

template <int kDim, int kTiles, bool kFresh = false>
void launch_any(const TileShape& s, const QkvPrologue& fresh, cudaStream_t stream) {
  s.p.kv.packed() ? launch_tiles<kDim, kTiles, kFresh, true>(s, fresh, stream)
                  : launch_tiles<kDim, kTiles, kFresh, false>(s, fresh, stream);
}

template <int kDim>
void launch_single(const TileShape& s, cudaStream_t stream) {
  s.group <= 8 ? launch_any<kDim, 1>(s, {}, stream) : launch_any<kDim, 2>(s, {}, stream);
}

}  // namespace

bool paged_attention_decode_fits(const AttentionProblem& p) {
  return p.n_tokens == p.n_seqs && paged_attention_mma_fits(p);
}

void paged_attention_decode(const AttentionProblem& p, cudaStream_t stream) {
  const TileShape s = shape_of(p);
  switch (p.kv.key_dim) {
    case 64:
      return launch_single<64>(s, stream);
    case 96:
      return launch_single<96>(s, stream);
    case 128:
      return launch_single<128>(s, stream);
    default:
      return launch_single<256>(s, stream);
  }
}

bool paged_attention_decode_qkv_fits(const AttentionOfQkv& problem) {
  const AttentionProblem& p = problem.attention;
  const QkvPrologue& fresh = problem.qkv;
  const QkvParams& q = fresh.params;
  const auto aligned = [](const void* from) { return reinterpret_cast<uintptr_t>(from) % 16 == 0; };
  const bool rotates = q.rope.cos_sin != nullptr;
  // Every block reads all heads: of more sequences that may cost what the launches cost that it saves.
  const bool whole = p.params.n_heads == p.kv.n_kv_heads && p.n_seqs <= kWholeNormSeqsMax;
  return paged_attention_decode_fits(p) && (p.kv.key_dim == 64 || p.kv.key_dim == 128) &&
         p.params.n_heads <= 8 * p.kv.n_kv_heads && (!rotates || (q.rope.dims == q.head_dim && !q.rope.interleaved)) &&
         (q.norm != QkvNorm::kWhole || whole) && aligned(q.rope.cos_sin) && aligned(q.q_norm) && aligned(q.k_norm) &&
         rows_aligned(fresh.qkv, 16) && aligned(p.kv.data);
}

void paged_attention_decode_qkv(const AttentionOfQkv& problem, cudaStream_t stream) {
  const TileShape s = shape_of(problem.attention);
  if (problem.attention.kv.key_dim == 64) {
    launch_any<64, 1, true>(s, problem.qkv, stream);
  } else {
    launch_any<128, 1, true>(s, problem.qkv, stream);
  }
}

}  // namespace polymath::backend::cuda
