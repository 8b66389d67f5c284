#pragma once

// A block's work in paged_attention_mma.cu: its tile and split. Also the rows' queries, and the copies of keys
// from the cache into shared memory.

#include "backend/cuda/attention/mma.cuh"
#include "backend/cuda/attention/packed_pages.cuh"

namespace polymath::backend::cuda {

constexpr int kWarps = 4, kThreads = kWarps * kWarp;
constexpr int kSlice = 16, kRun = kWarps * kSlice;  // keys: of a warp's fetch, of a block's
constexpr int kNarrowRows = 16;
constexpr float kKeptBytes = 8 << 20;  // a layer's keys and values that the L2 cache is asked to keep, at most

struct TileShape {
  AttentionProblem p;
  int rows;                    // of a tile, without padding: heads * queries
  int heads, queries;          // of a tile
  int head_tiles;              // of a kv head
  int group;                   // heads that share a kv head
  int from = 0, to = INT_MAX;  // this launch is for sequences of [from, to] queries
  bool single;                 // every sequence has one query
  bool cuts;                   // keys are split: the partial sums have room
  int least_keys;              // of a split: fewer are not worth the merge
  int uncut_keys = 0;          // a tile of no more is not cut
  int kept_keys;               // of paged_attention_decode: more of a sequence are not kept in the L2 cache
  float slot_part;             // blocks of a tile over all kv heads, per block that the GPU holds at once
  float scale;                 // of a score, in powers of two
  uint64_t pages_part;         // 2^32 / pages of a block, rounded up
};

// seq -1: no work.
struct Tile {
  int seq, token, token_end, kv_head, head_begin;
  int splits, split;   // at most, and this block's
  int64_t unit, rest;  // places of split 0 and split 1 among the partial sums; the next are gridDim.x further
};

struct Work {
  int tiles, keys;  // of a sequence; keys of its last query
  int sum;          // of the keys of all tiles, about: in a prompt the first queries see fewer
};
__device__ __forceinline__ Work work_of(const TileShape& s, int seq) {
  int first = seq, n = 1;
  if (!s.single) {
    first = s.p.query_start[seq];
    n = s.p.query_start[seq + 1] - first;
  }
  if (n < max(s.from, 1) || n > s.to) return {0, 0, 0};
  const int tiles = s.single ? 1 : (n + s.queries - 1) / s.queries;
  if (!s.cuts) return {tiles, 0, 0};
  const KeyRange range = keys_of_query(s.p, seq, first + n - 1);
  const int keys = max(range.end - range.begin, 0);
  return {tiles, keys, tiles * max(keys - n / 2, (keys + 1) / 2)};
}

// The work of every sequence, shared over a warp: each lane keeps the one of its index.
class Works {
 public:
  __device__ __forceinline__ explicit Works(const TileShape& s) : s_(s), lane_(threadIdx.x % kWarp) {
    if (lane_ < s.p.n_seqs) own_ = work_of(s, lane_);
    if (!s.cuts) return;
    int sum = 0;
    for (int seq = lane_; seq < s.p.n_seqs; seq += kWarp) sum += of(seq).sum;
    keys_ = max(s.least_keys, static_cast<int>(static_cast<float>(warp_sum(sum)) * s.slot_part) + 1);
  }
  __device__ __forceinline__ int tiles(int seq) const { return of(seq).tiles; }
  // Splits of a tile at most: as many as fill the GPU once with the whole step.
  __device__ __forceinline__ int splits(int seq) const {
    const int keys = of(seq).keys;
    return keys <= s_.uncut_keys ? 1 : max(1, min(keys / keys_, kSplitsMax));
  }

 private:
  __device__ __forceinline__ Work of(int seq) const { return seq == lane_ ? own_ : work_of(s_, seq); }

  const TileShape& s_;
  int lane_, keys_ = INT_MAX;  // of a split, at least
  Work own_{0, 0, 0};
};

// `across`: which of the kv heads' head tiles.
__device__ __forceinline__ Tile make_tile(const TileShape& s, int seq, int across) {
  Tile tile{};
  tile.seq = seq;
  tile.kv_head = across / s.head_tiles;
  tile.head_begin = across % s.head_tiles * s.heads;
  return tile;
}

// One query a sequence: block i has the first split of sequence i. Short sequences are never split, so they need not
// look at the others. Further splits follow all first ones.
__device__ __forceinline__ Tile find_single(const TileShape& s) {
  const int index = static_cast<int>(blockIdx.y), lane = threadIdx.x % kWarp;
  Piece found{index, 0};
  int splits = 1, before = 0;  // splits after the first, of the sequences before
  if (index >= s.p.n_seqs || (s.cuts && work_of(s, index).keys > s.uncut_keys)) {
    const Works works(s);
    if (index >= s.p.n_seqs) {
      found = find_piece(index - s.p.n_seqs, s.p.n_seqs, [&](int seq) { return works.splits(seq) - 1; });
      before = index - s.p.n_seqs - found.piece++;
    } else {
      for (int seq = lane; seq < index; seq += kWarp) before += works.splits(seq) - 1;
      before = warp_sum(before);
    }
    if (found.item >= 0) splits = works.splits(found.item);
  }
  Tile tile = make_tile(s, found.item, static_cast<int>(blockIdx.x));
  tile.splits = splits;
  tile.split = found.piece;
  tile.token = tile.seq;
  tile.token_end = tile.seq + 1;
  tile.unit = static_cast<int64_t>(tile.seq) * gridDim.x + blockIdx.x;
  tile.rest = static_cast<int64_t>(s.p.n_seqs + before) * gridDim.x + blockIdx.x;
  return tile;
}

// The queries of a sequence's `nth` tile.
__device__ __forceinline__ void take_queries(const TileShape& s, int nth, Tile& tile) {
  tile.token = s.p.query_start[tile.seq] + nth * s.queries;
  tile.token_end = min(tile.token + s.queries, s.p.query_start[tile.seq + 1]);
}

// Tiles of all sequences, a tile's splits side by side. Last tiles come first: later queries see more keys and take
// longer.
__device__ __forceinline__ Tile find_tile(const TileShape& s) {
  const Works works(s);
  const auto pieces = [&](int seq) { return works.tiles(seq) * works.splits(seq); };
  int sum = 0;
  for (int seq = threadIdx.x % kWarp; seq < s.p.n_seqs; seq += kWarp) sum += pieces(seq);
  const int index = warp_sum(sum) - 1 - static_cast<int>(blockIdx.y), across = static_cast<int>(blockIdx.x);
  if (index < 0) return make_tile(s, -1, across);
  const Piece found = find_piece(index, s.p.n_seqs, pieces);
  Tile tile = make_tile(s, found.item, across);
  tile.splits = works.splits(tile.seq);
  tile.split = found.piece % tile.splits;
  take_queries(s, found.piece / tile.splits, tile);
  tile.unit = static_cast<int64_t>(index - tile.split) * gridDim.x + blockIdx.x;
  tile.rest = tile.unit + gridDim.x;
  return tile;
}

struct RowPlace {
  int token, head;  // token -1: no such row
};
__device__ __forceinline__ RowPlace place_of(const TileShape& s, const Tile& tile, int row) {
  const int token = tile.token + row / s.heads, in_group = tile.head_begin + row % s.heads;
  const bool there = row < s.rows && token < tile.token_end && in_group < s.group;
  return {there ? token : -1, tile.kv_head * s.group + in_group};
}

// The union of the keys that the tile's rows see, from the start of a page. Positions ascend.
__device__ __forceinline__ KeyRange keys_of_tile(const TileShape& s, const Tile& tile) {
  if (tile.token >= tile.token_end) return {0, 0};
  KeyRange keys = keys_of_query(s.p, tile.seq, tile.token);
  if (tile.token_end - tile.token > 1) keys.end = keys_of_query(s.p, tile.seq, tile.token_end - 1).end;
  return keys.end > keys.begin ? KeyRange{keys.begin / kPage * kPage, keys.end} : KeyRange{0, 0};
}

__device__ __forceinline__ uint4 eight_of(const float4& low, const float4& high) {
  return {two_bf16(low.x, low.y), two_bf16(low.z, low.w), two_bf16(high.x, high.y), two_bf16(high.z, high.w)};
}
// The tile's queries as bf16, and the keys of this split that each sees. Padding rows up to kRows get zeros and no
// keys. Eight threads share a row and compute its address once.
template <int kDim, int kRows>
__device__ __forceinline__ void begin_rows(const TileShape& s, const Tile& tile, const Split& split,
                                           unsigned char* queries, KeyRange* seen) {
  constexpr int kWords = Rows<kDim>::kWords, kAcross = 8, kStep = kThreads / kAcross;
  constexpr int kEach = (kWords + kAcross - 1) / kAcross, kFew = kEach < 8 ? 8 / kEach : 1;
  constexpr int kBatch = kFew < kRows / kStep ? kFew : kRows / kStep;  // rows of a thread in flight together
  static_assert(kRows % (kStep * kBatch) == 0);
  for (int row = threadIdx.x; row < kRows; row += kThreads) {
    const RowPlace place = place_of(s, tile, row);
    KeyRange keys{0, 0};
    if (place.token >= 0) keys = keys_of_query(s.p, tile.seq, place.token);
    seen[row] = {max(keys.begin, split.begin), min(keys.end, split.end)};
  }
  const int size = s.p.q.type == Type::kF32 ? 4 : 2;
  const int across = static_cast<int>(threadIdx.x) % kAcross;
#pragma unroll 1
  for (int first = static_cast<int>(threadIdx.x) / kAcross; first < kRows; first += kStep * kBatch) {
    float4 low[kBatch][kEach], high[kBatch][kEach];
    bool there[kBatch];
#pragma unroll
    for (int i = 0; i < kBatch; ++i) {
      const RowPlace place = place_of(s, tile, first + i * kStep);
      there[i] = place.token >= 0;
      const int64_t number = there[i] ? place.token * s.p.q.stride + place.head * kDim : 0;
      const auto* const from = static_cast<const unsigned char*>(s.p.q.data) + number * size;
#pragma unroll
      for (int e = 0; e < kEach; ++e) {  // no branches: surplus words are read and dropped
        const auto* const at = reinterpret_cast<const float4*>(from + min(across + e * kAcross, kWords - 1) * 8 * size);
        low[i][e] = at[0];
        high[i][e] = at[size == 4 ? 1 : 0];
      }
    }
#pragma unroll
    for (int i = 0; i < kBatch; ++i) {
#pragma unroll
      for (int e = 0; e < kEach; ++e) {
        const int word = across + e * kAcross;
        if (kWords % kAcross != 0 && word >= kWords) continue;
        const uint4 value = size == 4 ? eight_of(low[i][e], high[i][e]) : reinterpret_cast<const uint4&>(low[i][e]);
        *reinterpret_cast<uint4*>(queries + Rows<kDim>::offset(first + i * kStep, word)) =
            there[i] ? value : make_uint4(0, 0, 0, 0);
      }
    }
  }
}

// Initial sums: the sinks in split 0. A sink counts as a key without a value.
template <int kDim, int kTiles>
__device__ __forceinline__ void begin_sums(const TileShape& s, const Tile& tile, int row, bool first,
                                           Sums<kDim, kTiles>& sums) {
  const int lane = threadIdx.x % kWarp;
  sums.clear();
  if (!first || s.p.params.sinks == nullptr) return;
#pragma unroll
  for (int m = 0; m < kTiles; ++m) {
#pragma unroll
    for (int h = 0; h < 2; ++h) {
      const RowPlace place = place_of(s, tile, row + m * 16 + h * 8 + lane / 4);
      if (place.token < 0) continue;
      sums.max[m][h] = s.p.params.sinks[place.head] / s.p.params.scale;
      sums.sum[m][h] = lane % 4 == 0 ? 1.0f : 0.0f;
    }
  }
}

// Shared memory, in bytes from the front: runs of keys and values as bf16, packed runs, queries, visible keys. A packed
// run is copied as it is; each warp unpacks its slice of it.
template <int kDim, int kStages_, int kRows, bool kPacked>
struct Memory {
  static constexpr int kStages = kStages_, kHalf = kRun * Rows<kDim>::kBytes, kStage = 2 * kHalf;  // keys, then values
  static constexpr int kPackedRuns = (kPacked ? 1 : kStages) * kStage;
  static constexpr int kPackedSlice = kPacked ? 2 * (kSlice / kPage) * kPageBytes<kDim, true> : 0;
  static constexpr int kPackedStage = kWarps * kPackedSlice;
  static constexpr int kQueries = kPackedRuns + kStages * kPackedStage;
  static constexpr int kSeen = kQueries + kRows * Rows<kDim>::kBytes;
  static constexpr int kBytes = kSeen + kRows * static_cast<int>(sizeof(KeyRange));

  // Of this warp's slice: where it arrives, and where its rows of keys are for mma.
  __device__ static __forceinline__ uint32_t arrives(uint32_t base, int stage) {
    const int warp = static_cast<int>(threadIdx.x) / kWarp;
    if constexpr (kPacked) return base + kPackedRuns + stage * kPackedStage + warp * kPackedSlice;
    return rows(base, stage) + warp * kSlice * Rows<kDim>::kBytes;
  }
  // Of a run.
  __device__ static __forceinline__ uint32_t rows(uint32_t base, int stage) {
    return base + (kPacked ? 0 : stage * kStage);
  }
  __device__ static __forceinline__ uint32_t own_rows(uint32_t base, int stage) {
    return rows(base, stage) + static_cast<int>(threadIdx.x) / kWarp * kSlice * Rows<kDim>::kBytes;
  }
};

// Fetches this warp's slices of the block's runs of keys. Pages are looked up for 16 slices at once, a page a lane, 16
// slices ahead. A latent cache has keys alone.
template <int kDim, bool kLatent, bool kPacked>
class Slices {
 public:
  __device__ __forceinline__ Slices(const TileShape& s, const Tile& tile, const Split& split, int64_t table_cols)
      : s_(s), table_(s.p.block_table + tile.seq * table_cols), begin_(split.begin), end_(split.end) {
    const Kv& kv = s.p.kv;
    const int warp = static_cast<int>(threadIdx.x) / kWarp, of_head = kv.block_size / kPage;
    first_page_ = begin_ / kPage + warp * (kSlice / kPage);
    head_ = static_cast<const unsigned char*>(kv.data) + static_cast<int64_t>(tile.kv_head) * of_head * kBytes;
    to_values_ = static_cast<int64_t>(kv.n_kv_heads) * of_head * kBytes;
    now_ = look_up(0);
    next_ = look_up(1);
  }

  // Slice `index` of this warp into 16 rows at `keys` and at `values`. Packed: its pages go to `keys`. Called with
  // ascending indices.
  __device__ __forceinline__ void fetch(int index, uint32_t keys, uint32_t values) {
    const int lane = threadIdx.x % kWarp, turn = index % 16;
    if (turn == 0 && index > 0) {
      now_ = next_;
      next_ = look_up(index / 16 + 1);
    }
#pragma unroll
    for (int i = 0; i < kSlice / kPage; ++i) {
      const int block = __shfl_sync(kAllLanes, now_, turn * 2 + i), page = first_page_ + index * (kRun / kPage) + i;
      const int in_block = page - block_of(page) * (s_.p.kv.block_size / kPage);
      const unsigned char* from = head_ + block * ((kLatent ? 1 : 2) * to_values_) + in_block * kBytes;
      if constexpr (kPacked) {
        copy_page<kDim>(from, keys + i * kBytes);
        if constexpr (!kLatent) copy_page<kDim>(from + to_values_, keys + (i + kSlice / kPage) * kBytes);
      } else if constexpr (kLatent) {
        fetch_long_rows(from, page, keys + i * kPage * Rows<kDim>::kBytes);
      } else {
#pragma unroll
        for (int k = 0; k < kDim / kWarp; ++k) {
          const int at = lane + k * kWarp, row = at / Rows<kDim>::kWords, key = page * kPage + row;
          const bool there = key >= begin_ && key < end_;
          const int to = i * kPage * Rows<kDim>::kBytes + Rows<kDim>::offset(row, at % Rows<kDim>::kWords);
          fetch_word(keys + to, from + at * 16, there);
          fetch_word(values + to, from + to_values_ + at * 16, there);
        }
      }
    }
  }

  // Slice `index`, whose pages have arrived at `from`, into 16 rows at `keys` and at `values`. No value: latent.
  __device__ __forceinline__ void unpack(int index, uint32_t from, uint32_t keys, uint32_t values) const {
    const int first = (first_page_ + index * (kRun / kPage)) * kPage;
    unpack_pages<kDim>(s_.p.kv.code, from, keys, {begin_ - first, end_ - first});
    if constexpr (!kLatent) {
      unpack_pages<kDim>(s_.p.kv.code, from + kSlice / kPage * kBytes, values, {begin_ - first, end_ - first});
    }
  }

 private:
  static constexpr int kBytes = kPageBytes<kDim, kPacked>;

  // A page whose rows have more words than a warp has lanes. First row by row, then the remainders of several rows at
  // once.
  __device__ __forceinline__ void fetch_long_rows(const unsigned char* from, int page, uint32_t to) const {
    constexpr int kWords = Rows<kDim>::kWords, kRest = kWords % kWarp, kRows = kWarp / kRest, kWord = 16;
    static_assert(kWords % 8 == 0 && kWarp % kRest == 0 && kPage % kRows == 0);
    const int lane = threadIdx.x % kWarp;
#pragma unroll
    for (int row = 0; row < kPage; ++row) {
      const bool there = page * kPage + row >= begin_ && page * kPage + row < end_;
      const uint32_t at = to + row * Rows<kDim>::kBytes + ((lane ^ row) * kWord);  // as Rows::offset() has it
#pragma unroll
      for (int k = 0; k < kWords / kWarp; ++k) {
        fetch_word(at + k * kWarp * kWord, from + row * Rows<kDim>::kBytes + (lane + k * kWarp) * kWord, there);
      }
    }
#pragma unroll
    for (int first = 0; first < kPage; first += kRows) {
      const int row = first + lane / kRest, word = kWords - kRest + lane % kRest, key = page * kPage + row;
      fetch_word(to + Rows<kDim>::offset(row, word), from + row * Rows<kDim>::kBytes + word * kWord,
                 key >= begin_ && key < end_);
    }
  }
  __device__ __forceinline__ int block_of(int page) const {
    return static_cast<int>(static_cast<uint64_t>(page) * s_.pages_part >> 32);
  }
  // This lane's page of the `sixteen`-th 16 slices: its block's number, or 0 past the last key.
  __device__ __forceinline__ int look_up(int sixteen) const {
    const int lane = threadIdx.x % kWarp;
    const int page = first_page_ + (sixteen * 16 + lane / 2) * (kRun / kPage) + lane % 2;
    return page * kPage < end_ ? table_[block_of(page)] : 0;
  }

  const TileShape& s_;
  const int32_t* table_;
  const unsigned char* head_;
  int64_t to_values_;
  int begin_, end_, first_page_, now_, next_;
};

}  // namespace polymath::backend::cuda
