#pragma once

// A block's work in paged_attention_decode.cu: its sequence and split. Also the copies of each warp's keys from
// the cache into the warp's ring of stages.

#include "backend/cuda/attention/tile_ends.cuh"

namespace polymath::backend::cuda {

template <int kDim, int kTiles, int kBlockWarps, bool kPacked_>
struct Plan {
  static constexpr bool kPacked = kPacked_;
  using Row = Rows<kPacked ? kDim / 2 : kDim>;
  static constexpr int kHeads = 8 * kTiles, kBlockThreads = kBlockWarps * kWarp, kRunKeys = kBlockWarps * kSlice;
  static constexpr int kStages = (kDim == 64 ? 4 : kDim <= 128 ? 2 : 3) * (kPacked ? 2 : 1);
  static constexpr int kHalf = kSlice * Row::kBytes;                          // keys, then as many bytes of values
  static constexpr int kScales = 2 * kHalf, kScaleBytes = kPacked ? 128 : 0;  // of 16 keys, then of 16 values
  static constexpr int kStage = kScales + kScaleBytes;
  static constexpr int kRing = kStages * kStage;  // a warp's; at last its sums
  static constexpr int kSumStride = kDim + 4;     // floats: lanes that write at once meet different banks
  static constexpr int kMaxima = kHeads * kSumStride * static_cast<int>(sizeof(float));
  static constexpr int kQueries = kBlockWarps * kRing;  // bf16, where they are not read from where they are
  static constexpr int kBytes = kQueries + kHeads * Rows<kDim>::kBytes;
  static_assert(kMaxima + kHeads * static_cast<int>(sizeof(float2)) <= kRing);
  static_assert(kHeads * kWarp * static_cast<int>(sizeof(float)) <= kRing);  // of put_splits
};

// The lanes agree on `v`; without the vote the compiler emits code for divergent lanes.
__device__ __forceinline__ bool agreed(bool v) { return __any_sync(kAllLanes, v) != 0; }

// seq -1: no work.
struct Job {
  Tile tile;
  Split split;
  int seen;      // first key that the query sees; the split begins with its page
  bool has_new;  // the split has the key that this step writes
};

__device__ __forceinline__ Job job_of(const TileShape& s, const Tile& tile, KeyRange keys, int step) {
  Job job;
  job.tile = tile;
  job.seen = keys.begin;
  keys = keys.end > keys.begin ? KeyRange{keys.begin & -kPage, keys.end} : KeyRange{0, 0};
  job.split = split_of(keys, tile.splits, tile.split, step, s.least_keys);
  job.has_new = keys.end > 0 && job.split.end == keys.end;
  return job;
}

// Out of line: split contexts, groups of several tiles and chunks are rare.
inline __device__ __noinline__ Job find_job(const TileShape& s, int step) {
  const Tile tile = find_single(s);
  if (tile.seq < 0) return Job{tile, {0, 0, 1}, 0, false};
  return job_of(s, tile, keys_of_query(s.p, tile.seq, tile.seq), step);
}

__device__ __forceinline__ Job begin_job(const TileShape& s, int step) {
  const int seq = static_cast<int>(blockIdx.y);
  if (seq < s.p.n_seqs && s.head_tiles == 1 && s.p.params.chunk == 0) {
    const KeyRange keys = keys_in_window(s.p.params, s.p.positions[seq], length_of(s.p, seq));
    if (agreed(!s.cuts || keys.end - keys.begin <= s.uncut_keys)) {  // as find_single says
      Tile tile{};
      tile.seq = tile.token = seq;
      tile.token_end = seq + 1;
      tile.kv_head = static_cast<int>(blockIdx.x);
      tile.splits = 1;
      return job_of(s, tile, keys, step);
    }
  }
  return find_job(s, step);
}

// Fetches this warp's slices. Pages are looked up for 16 slices at once, a page a lane. Sequences of more keys are
// looked up 8 slices ahead.
template <typename P, int kDim>
class Pages {
 public:
  // Keys of the slices: 16 of every kRunKeys from `first` on, none past `end`.
  __device__ __forceinline__ Pages(const TileShape& s, const Job& job, int first, int end, int64_t table_cols)
      : s_(s), table_(s.p.block_table + job.tile.seq * table_cols), end_(end), first_(first) {
    const Kv& kv = s.p.kv;
    const int lane = threadIdx.x % kWarp, of_head = kv.block_size / kPage;
    head_ = job.tile.kv_head * of_head;
    to_values_ = kv.n_kv_heads * of_head;
    from_ = static_cast<const unsigned char*>(kv.data) + lane * 16;
    now_ = look_up(0);
  }

  // Slice `index` of this warp into the stage at `to`. Keys of few sequences may stay in the L2 cache until the next
  // step; keys of many are read once.
  __device__ __forceinline__ void fetch(int index, uint32_t to) const {
    agreed(end_ > s_.kept_keys) ? fetch<true>(index, to) : fetch<false>(index, to);
  }

  // To be called before slice `index` > 4 is fetched.
  __device__ __forceinline__ void turn(int index) {
    if (agreed(index % 16 == 8)) next_ = look_up(index / 16 + 1);
    if (index % 16 == 0) now_ = next_;
  }

 private:
  using Row = typename P::Row;
  // Words of a page's elements. A lane copies several: of the same column, if rows are whole among a warp's words.
  static constexpr int kWords = Row::kWords, kStep = kWarp / kWords;
  static constexpr bool kWhole = kWarp % kWords == 0;
  static constexpr int kPageWords = kPage * kWords, kEach = (kPageWords + kWarp - 1) / kWarp;
  static constexpr int kPageBytes = kPage * Row::kBytes + (P::kPacked ? kPage * static_cast<int>(sizeof(float)) : 0);

  // This lane's row of the k-th words of a page, and its place in rows at `to`. `to` is a multiple of 128.
  __device__ static __forceinline__ int row_of(int k) {
    const int lane = threadIdx.x % kWarp;
    return kWhole ? lane / kWords + k * kStep : (lane + k * kWarp) / kWords;
  }
  __device__ static __forceinline__ uint32_t word_at(int k, uint32_t to) {
    const int at = threadIdx.x % kWarp + (kWhole ? 0 : k * kWarp);
    const uint32_t place = to + Row::offset(at / kWords, at % kWords);
    return kWhole ? (place ^ (Row::twist(k * kStep) << 4)) + k * (kWarp * 16) : place;
  }

  template <bool kOnce>
  __device__ static __forceinline__ void copy(uint32_t to, const unsigned char* from, bool there) {
    if constexpr (kOnce) {
      fetch_word(to, from, there, read_once());
    } else {
      fetch_word(to, from, there);
    }
  }

  // Zero-fill past the last key: 0 * NaN is NaN. A copy without a cache policy takes two instructions a word less.
  template <bool kOnce>
  __device__ __forceinline__ void fetch(int index, uint32_t to) const {
    const int left = end_ - first_ - index * P::kRunKeys - row_of(0);
#pragma unroll
    for (int i = 0; i < kSlice / kPage; ++i) {
      const int page = __shfl_sync(kAllLanes, now_, index % 16 * 2 + i);
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const int at = half * P::kHalf + i * kPage * Row::kBytes;
        fetch_page<kOnce>(page + half * to_values_, left - i * kPage, to, at);
      }
    }
    if constexpr (P::kPacked) fetch_scales<kOnce>(index, to + P::kScales);
  }
  // One page's keys or values into the rows that begin `at` bytes past `to`.
  template <bool kOnce>
  __device__ __forceinline__ void fetch_page(int page, int left, uint32_t to, int at) const {
    const auto* from = from_ + static_cast<int64_t>(page) * kPageBytes;
#pragma unroll
    for (int k = 0; k < kEach; ++k) {
      if (kPageWords % kWarp != 0 && threadIdx.x % kWarp + k * kWarp >= kPageWords) continue;
      const bool there = (kWhole ? k * kStep : row_of(k) - row_of(0)) < left;
      copy<kOnce>(word_at(k, to) + at, from + k * (kWarp * 16), there);
    }
  }
  // A slice's scales are eight words: two of each page.
  template <bool kOnce>
  __device__ __forceinline__ void fetch_scales(int index, uint32_t to) const {
    const int lane = threadIdx.x % kWarp, word = lane & 1, page_of_two = lane >> 1 & 1, half = lane >> 2 & 1;
    const int page = __shfl_sync(kAllLanes, now_, index % 16 * 2 + page_of_two) + half * to_values_;
    const auto* from = from_ - lane * 16 + static_cast<int64_t>(page) * kPageBytes + kPage * Row::kBytes + word * 16;
    if (lane < 8) copy<kOnce>(to + lane * 16, from, true);
  }

  // This lane's page of the `sixteen`-th 16 slices; any page of block 0 past the last key.
  __device__ __forceinline__ int look_up(int sixteen) const {
    const int lane = threadIdx.x % kWarp, key = first_ + (sixteen * 16 + lane / 2) * P::kRunKeys + lane % 2 * kPage;
    const int page = key / kPage, block = static_cast<int>(static_cast<uint64_t>(page) * s_.pages_part >> 32);
    const int number = key < end_ ? table_[block] : 0;
    return number * (2 * to_values_) + head_ + page - block * (s_.p.kv.block_size / kPage);
  }

  const TileShape& s_;
  const int32_t* table_;
  const unsigned char* from_;
  int end_, first_, head_, to_values_;  // the last two in pages
  int now_, next_ = 0;
};

}  // namespace polymath::backend::cuda
