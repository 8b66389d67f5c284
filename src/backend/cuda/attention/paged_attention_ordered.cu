// Attention over a paged bf16 cache in one order of sums. A query's output so has the same bits in a prompt and in a
// decode step, beside any other sequences.
//
// Keys are cut at multiples of 64, counted from the sequence's first. Each cut has a softmax of its own, over slices
// of 16 keys from the first on. The cuts are then folded into a total, from the first on. All of this is done for each
// row by itself, by mma steps of 16.
//  narrow_kernel: 16 rows. Each warp has every fourth cut. The warps fold theirs in turn. For few tokens a sequence.
//  wide_kernel: 64 rows, each warp its own, over all cuts. For prompts.

#include "backend/cuda/attention/ordered.h"
#include "backend/cuda/attention/ordered_cuts.cuh"
#include "backend/cuda/attention/ordered_pieces.cuh"

namespace polymath::backend::cuda {
namespace {

// kDeep: many stages in flight, for a block an SM. Else three blocks hide each other's start and end.
template <int kDim, bool kDeep>
constexpr int kNarrowStages = kDim == 64    ? 4
                              : kDim == 256 ? 3
                              : kDeep       ? 4
                                            : 2;
template <int kDim, bool kDeep, bool kPacked>
using NarrowMemory = Memory<kDim, kNarrowStages<kDim, kDeep>, kNarrowRows, kPacked>;
template <int kDim, bool kPacked>
using WideMemory = Memory<kDim, 2, kWarps * 16, kPacked>;

// The total of all cuts before `turn`, on its way from warp to warp. In dynamic memory: half of it where a tile has at
// most 8 rows.
template <int kDim>
class Baton {
 public:
  __device__ __forceinline__ Baton(const TileShape& s, unsigned char* memory)
      : turn_(reinterpret_cast<volatile int*>(memory)),
        rows_(reinterpret_cast<float2*>(memory + kHead)),
        halves_(s.rows > kNarrowRows / 2 ? 2 : 1) {}
  // Bytes of a tile of `rows` rows.
  static constexpr int bytes(int rows) { return kHead + (rows > kNarrowRows / 2 ? 2 : 1) * kHalfBytes; }

  __device__ __forceinline__ void begin() const { *turn_ = 0; }
  __device__ __forceinline__ void take(int cut, Total<kDim>& total) const {
    while (*turn_ != cut) {
    }
    __threadfence_block();
    __syncwarp();
#pragma unroll
    for (int h = 0; h < 2; ++h) {
      if (h == halves_) break;
      const float2* const from = place(h);
      const float2 row = from[kDim / 8 * kWarp];
      total.max[h] = row.x, total.sum[h] = row.y;
#pragma unroll
      for (int n = 0; n < kDim / 8; ++n) {
        const float2 v = from[n * kWarp];
        total.values[n][2 * h] = v.x, total.values[n][2 * h + 1] = v.y;
      }
    }
  }
  __device__ __forceinline__ void give(int next, const Total<kDim>& total) const {
#pragma unroll
    for (int h = 0; h < 2; ++h) {
      if (h == halves_) break;
      float2* const to = place(h);
      to[kDim / 8 * kWarp] = {total.max[h], total.sum[h]};
#pragma unroll
      for (int n = 0; n < kDim / 8; ++n) to[n * kWarp] = {total.values[n][2 * h], total.values[n][2 * h + 1]};
    }
    __threadfence_block();
    __syncwarp();
    if (threadIdx.x % kWarp == 0) *turn_ = next;
  }

 private:
  static constexpr int kHead = 16, kHalfWords = (kDim / 8 + 1) * kWarp;
  static constexpr int kHalfBytes = kHalfWords * static_cast<int>(sizeof(float2));
  __device__ __forceinline__ float2* place(int h) const { return rows_ + h * kHalfWords + threadIdx.x % kWarp; }

  volatile int* turn_;
  float2* rows_;
  int halves_;
};

// Folds a finished cut in its turn; the last one's warp writes the output.
template <int kDim>
__device__ __forceinline__ void pass_on(const TileShape& s, const CutWork& work, int cut, Sums<kDim, 1>& sums,
                                        const Baton<kDim>& baton) {
  Total<kDim> total;
  begin_total(s, work.tile, 0, total);
  if (cut > 0) baton.take(cut, total);
  fold(s.scale, sums, total);
  if (cut + 1 < work.n) {
    baton.give(cut + 1, total);
  } else {
    write_total(s, work.tile, 0, total);
  }
}

// This warp's cuts of the block's part: every fourth.
template <int kDim, bool kDeep, bool kPacked>
__device__ __forceinline__ void attend(const TileShape& s, const CutWork& work, unsigned char* memory) {
  using M = NarrowMemory<kDim, kDeep, kPacked>;
  const Baton<kDim> baton(s, memory + M::kBytes);
  const int64_t table_cols = table_cols_of(s.p);
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
  const int slices = (work.keys.end - work.keys.begin + kSlice - 1) / kSlice;
  // The last cut of all may be short.
  const int own_cuts = (work.n - warp + kWarps - 1) / kWarps;
  const bool has_last = work.n > 0 && (work.n - 1) % kWarps == warp;
  const int mine = own_cuts * kCutSlices - (has_last ? work.n * kCutSlices - slices : 0);
  const uint32_t base = shared_place(memory);
  CutSlices<kDim, kPacked> fetcher(s, work.tile, work.keys, table_cols);
  if (threadIdx.x == 0) baton.begin();
  wait_for_input();
#pragma unroll
  for (int i = 0; i < M::kStages; ++i) {
    if (i < mine) fetcher.fetch(i, M::arrives(base, i), M::arrives(base, i) + M::kHalf);
    end_group();
  }
  auto* const seen = reinterpret_cast<KeyRange*>(memory + M::kSeen);
  begin_rows<kDim, kNarrowRows>(s, work.tile, work.keys, memory + M::kQueries, seen);
  Sums<kDim, 1> sums;
  sums.clear();
  __syncthreads();
  let_next_begin();  // not sooner: the next kernel's prefetch would delay the keys
  int stage = 0;
  for (int i = 0; i < mine; ++i) {
    wait_groups<M::kStages - 1>();
    __syncwarp();  // all lanes' words are there
    const int cut = i / kCutSlices * kWarps + warp;
    const uint32_t at = M::own_rows(base, stage), arrived = M::arrives(base, stage);
    if constexpr (kPacked) {
      fetcher.unpack(i, arrived, at, at + M::kHalf);
      __syncwarp();
    }
    Scores<1, kSlice> scores;
    score<kDim, 1, kSlice>(base + M::kQueries, at, scores);
    hide<1, kSlice>(seen, work.keys.begin + (cut * kCutSlices + i % kCutSlices) * kSlice, scores);
    weigh_slice<kDim>(s.scale, scores, sums);
    add_values<kDim, 1, kSlice>(at + M::kHalf, scores, sums);
    __syncwarp();  // the slice is read
    if (i + M::kStages < mine) fetcher.fetch(i + M::kStages, arrived, arrived + M::kHalf);
    end_group();
    stage = stage + 1 == M::kStages ? 0 : stage + 1;
    if (i + 1 < mine && (i + 1) % kCutSlices != 0) continue;
    if (work.shared) {
      put_cut(s, work, work.first + cut, sums);
    } else {
      pass_on(s, work, cut, sums, baton);
    }
  }
  if (work.n > 0 || warp > 0) return;
  Total<kDim> none;  // a padding row
  begin_total(s, work.tile, 0, none);
  write_total(s, work.tile, 0, none);
}

template <int kDim, bool kDeep, bool kPacked>
__global__ void __launch_bounds__(kThreads, kDim <= 128 && !kDeep ? 3 : 1)
    narrow_kernel(const __grid_constant__ TileShape s, const __grid_constant__ Pieces pieces) {
  extern __shared__ __align__(128) unsigned char memory[];
  // Key positions depend on the step's inputs alone, so they are looked up before the wait.
  if (!s.single) {
    const Tile tile = find_tile(s);
    if (tile.seq < 0) return wait_for_input();
    return attend<kDim, kDeep, kPacked>(s, whole_of(tile, keys_of_cuts(s, tile)), memory);
  }
  for (int extra = static_cast<int>(blockIdx.y) - s.p.n_seqs;; extra += pieces.blocks) {
    const CutWork work = find_part(s, pieces, extra);
    if (work.tile.seq < 0) return wait_for_input();
    attend<kDim, kDeep, kPacked>(s, work, memory);
    const auto blocks = static_cast<unsigned>((work.all + kPieceCuts - 1) / kPieceCuts);
    if (work.shared && is_last(s.p.counters + work.tile.seq * gridDim.x + blockIdx.x, blocks)) {
      fold_shared<kDim>(s, work, memory);
    }
    if (extra < 0) return;
    __syncthreads();  // the memory is read
  }
}

static_assert(kRun == kOrderedKeys);
// A cut at `key`, of which a row sees some keys. `seen`: of the warp's first row.
struct RunOfKeys {
  uint32_t queries, keys;
  const KeyRange* seen;
  int key;
  bool hides;
};
template <int kDim>
__device__ __forceinline__ void add_run(float scale, const RunOfKeys& run, Sums<kDim, 1>& sums) {
  Scores<1, kRun> scores;
  score<kDim, 1, kRun>(run.queries, run.keys, scores);
  if (run.hides) hide<1, kRun>(run.seen, run.key, scores);
#pragma unroll
  for (int slice = 0; slice < kRun / kSlice; ++slice) {
    Scores<1, kSlice> part;
#pragma unroll
    for (int i = 0; i < 8; ++i) part[0][i / 4][i % 4] = scores[0][slice * 2 + i / 4][i % 4];
    weigh_slice<kDim>(scale, part, sums);
    const uint32_t values = run.keys + WideMemory<kDim, false>::kHalf + slice * kSlice * Rows<kDim>::kBytes;
    add_values<kDim, 1, kSlice>(values, part, sums);
  }
}

template <int kDim, bool kPacked>
__global__ void __launch_bounds__(kThreads, kDim <= 128 ? 2 : 1) wide_kernel(const __grid_constant__ TileShape s) {
  using M = WideMemory<kDim, kPacked>;
  extern __shared__ __align__(128) unsigned char memory[];
  wait_for_input();
  const int64_t table_cols = table_cols_of(s.p);  // in flight beside the loads that find the tile
  const Tile tile = find_tile(s);
  if (tile.seq < 0) return;
  const Split split = keys_of_cuts(s, tile);
  const int warp = static_cast<int>(threadIdx.x) / kWarp, first = split.begin;
  const int runs = (split.end - first + kRun - 1) / kRun;
  const uint32_t base = shared_place(memory);
  Slices<kDim, false, kPacked> fetcher(s, tile, split, table_cols);
  if (runs > 0) fetcher.fetch(0, M::arrives(base, 0), M::arrives(base, 0) + M::kHalf);
  end_group();
  auto* const seen = reinterpret_cast<KeyRange*>(memory + M::kSeen);
  begin_rows<kDim, kWarps * 16>(s, tile, split, memory + M::kQueries, seen);
  Total<kDim> total;
  begin_total(s, tile, warp * 16, total);
  Sums<kDim, 1> sums;
  sums.clear();
  __syncthreads();
  const KeyRange* const seen_here = seen + warp * 16;
  const WarpView view = view_of<1>(seen_here);
  const uint32_t queries = base + M::kQueries + warp * 16 * Rows<kDim>::kBytes;
  for (int i = 0; i < runs; ++i) {
    wait_groups<0>();
    __syncthreads();  // the run is there, and the one before is read
    const uint32_t next = M::arrives(base, (i + 1) % 2);
    const int key = first + i * kRun;
    if (i + 1 < runs) fetcher.fetch(i + 1, next, next + M::kHalf);
    end_group();
    if constexpr (kPacked) {
      fetcher.unpack(i, M::arrives(base, i % 2), M::own_rows(base, 0), M::own_rows(base, 0) + M::kHalf);
      __syncthreads();
    }
    if (key < view.any.end && key + kRun > view.any.begin) {
      const bool hides = key < view.all.begin || key + kRun > view.all.end;
      add_run<kDim>(s.scale, {queries, M::rows(base, i % 2), seen_here, key, hides}, sums);
      fold(s.scale, sums, total);
    }
  }
  write_total(s, tile, warp * 16, total);
}

// The blocks that later parts of long contexts are dealt to: enough to fill the GPU.
template <typename M>
Pieces pieces_of(const TileShape& s, int dim, unsigned across) {
  constexpr int kBlocksAnSm = 2;
  const AttentionProblem& p = s.p;
  if (!s.single || p.counters == nullptr || int64_t{p.n_seqs} * across > p.n_counters) return {};
  int64_t blocks = ceil_div(kBlocksAnSm * p.n_multiprocessors, across);
  if (p.keys_most > 0) blocks = min(blocks, p.n_seqs * (ceil_div(p.keys_most, kPieceCuts * kOrderedKeys) - 1));
  return {.blocks = static_cast<int>(blocks),
          .cuts_most = M::kQueries / static_cast<int>(sizeof(float4)) / s.rows,
          .units_most = p.partial_floats / (s.rows * (dim + 4)) / across};
}

template <int kDim, bool kDeep, bool kPacked>
void launch_tiles(const TileShape& s, dim3 grid, cudaStream_t stream) {
  using M = NarrowMemory<kDim, kDeep, kPacked>;
  allow_shared<narrow_kernel<kDim, kDeep, kPacked>>(M::kBytes + Baton<kDim>::bytes(kNarrowRows));
  const Pieces pieces = pieces_of<M>(s, kDim, grid.x);
  grid.y += static_cast<unsigned>(pieces.blocks);
  const auto bytes = static_cast<size_t>(M::kBytes + Baton<kDim>::bytes(s.rows));
  launch_after(narrow_kernel<kDim, kDeep, kPacked>, {grid, dim3(kThreads), bytes, stream}, s, pieces);
}

template <int kDim, bool kPacked>
void launch_narrow(TileShape s, cudaStream_t stream) {
  const dim3 grid = shape_grid(s, kNarrowRows, kDim, 1, false);
  if constexpr (!kPacked) {  // one kernel less; a packed run takes half the room
    const bool few = static_cast<int64_t>(grid.x) * grid.y <= s.p.n_multiprocessors;
    if (few) return launch_tiles<kDim, true, false>(s, grid, stream);
  }
  launch_tiles<kDim, false, kPacked>(s, grid, stream);
}

template <int kDim, bool kPacked>
void launch_wide(TileShape s, cudaStream_t stream) {
  using M = WideMemory<kDim, kPacked>;
  allow_shared<wide_kernel<kDim, kPacked>>(M::kBytes);
  const dim3 grid = shape_grid(s, kWarps * 16, kDim, 1, false);
  launch_after(wide_kernel<kDim, kPacked>, {grid, dim3(kThreads), M::kBytes, stream}, s);
}

// Sequences of few queries go to the narrow kernel, the others to the wide one. Either gives the same bits.
template <int kDim, bool kPacked>
void launch_both(TileShape s, cudaStream_t stream) {
  const NarrowShare narrow = narrow_share(s.p);
  s.to = narrow.most;
  if (narrow.most >= 0) launch_narrow<kDim, kPacked>(s, stream);
  if (narrow.all) return;
  s.from = s.to + 1;
  s.to = INT_MAX;
  launch_wide<kDim, kPacked>(s, stream);
}
template <int kDim>
void launch_any(const TileShape& s, cudaStream_t stream) {
  s.p.kv.packed() ? launch_both<kDim, true>(s, stream) : launch_both<kDim, false>(s, stream);
}

}  // namespace

void paged_attention_ordered(const AttentionProblem& p, cudaStream_t stream) {
  switch (p.kv.key_dim) {
    case 64:
      return launch_any<64>(shape_of(p), stream);
    case 96:
      return launch_any<96>(shape_of(p), stream);
    case 128:
      return launch_any<128>(shape_of(p), stream);
    default:
      return launch_any<256>(shape_of(p), stream);
  }
}

}  // namespace polymath::backend::cuda
