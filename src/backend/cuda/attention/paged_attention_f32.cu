// Attention over a paged cache in f32, for every kind of layer, prompts and decode alike. Online softmax (Milakov,
// Gimelshein, arXiv:1805.02867).
//
// A block has a tile: queries of one sequence, of the heads that share a kv head. Keys come in runs of 32 through
// shared memory. A warp has kRows rows; a lane scores one key, then accumulates some value columns. Where tiles are
// few, their keys are split over blocks and merge_kernel merges the splits.

#include "backend/cuda/attention/kv_codes.cuh"
#include "backend/cuda/attention/ordered.h"
#include "backend/cuda/attention/split_kv.cuh"
#include "backend/cuda/launch.cuh"

namespace polymath::backend::cuda {
namespace {

constexpr int kWarps = 4, kThreads = kWarps * kWarp;
constexpr int kRun = kWarp;  // keys of a run: one a lane
constexpr int kHeader = 3;   // of a row's partial sums: maximum, sum, and (of split 0) how many splits were used

struct Shape {
  AttentionProblem p;
  int rows;        // of a tile
  int heads;       // of a tile: the rows of one query
  int queries;     // of a tile: rows / heads
  int head_tiles;  // of a kv head
  int group;       // heads that share a kv head
  int splits;
  bool ordered;    // runs begin at multiples of kRun
  int key_stride;  // of a key in shared memory: odd, so that 32 lanes meet 32 banks
};

__device__ float negative_infinity() { return __int_as_float(0xff800000); }

// kRun rows in shared memory.
struct RunRows {
  float* data;
  int stride;
};

// Where a run's keys or values are: elements, or bytes of codes and of scales.
struct Places {
  int64_t rows[kRun], scales[kRun];
  __device__ void put(const Kv& kv, int i, int64_t slot, int head, bool value) {
    if (kv.packed()) {
      const PackedPlace place = packed_place(kv, slot, head, value);
      rows[i] = place.codes, scales[i] = place.scale;
      return;
    }
    const int64_t block = slot / kv.block_size, offset = slot % kv.block_size;
    rows[i] = value ? value_place(kv, block, head, offset) : key_place(kv, block, head, offset);
  }
};

__device__ void fetch_packed_rows(const Kv& kv, const Places& places, int n, int width, RunRows to) {
  const auto* const data = static_cast<const unsigned char*>(kv.data);
  const KvDecoder decoder(kv.code);
  for (int i = threadIdx.x; i < kRun * width; i += kThreads) {
    const int key = i / width, c = i % width;
    float v = 0;
    if (key < n) {
      const uint32_t code = data[places.rows[key] + code_place(c, width)];
      v = __uint_as_float(decoder.even(code) << 16) * *reinterpret_cast<const float*>(data + places.scales[key]);
    }
    to.data[key * to.stride + c] = v;
  }
}

// Copies n rows of `width` elements into shared memory as f32; rows up to kRun become zeros.
__device__ void fetch_rows(const Kv& kv, const Places& places_of, int n, int width, RunRows to) {
  if (kv.packed()) return fetch_packed_rows(kv, places_of, n, width, to);
  const int64_t* const places = places_of.rows;
  if (kv.type == Type::kBf16 && width % 8 == 0) {
    const int words = width / 8;
    for (int i = threadIdx.x; i < kRun * words; i += kThreads) {
      const int key = i / words, c = i % words * 8;
      uint4 word = {};
      if (key < n) word = *reinterpret_cast<const uint4*>(static_cast<const __nv_bfloat16*>(kv.data) + places[key] + c);
      const uint32_t parts[4] = {word.x, word.y, word.z, word.w};
#pragma unroll
      for (int k = 0; k < 4; ++k) {
        to.data[key * to.stride + c + 2 * k] = __uint_as_float(parts[k] << 16);
        to.data[key * to.stride + c + 2 * k + 1] = __uint_as_float(parts[k] & 0xffff0000u);
      }
    }
    return;
  }
  for (int i = threadIdx.x; i < kRun * width; i += kThreads) {
    const int key = i / width, c = i % width;
    to.data[key * to.stride + c] = key < n ? value_at(kv.data, kv.type, places[key] + c) : 0.0f;
  }
}

// A warp's rows: visible keys and running softmax.
template <int kRows, int kColumns>
struct RowState {
  int first[kRows], last[kRows];  // keys [first, last] are seen; last < first: no such row
  int64_t out[kRows];             // token * n_heads + head
  float max[kRows], sum[kRows], values[kRows][kColumns];
};

template <int kRows, int kColumns>
__device__ void begin_rows(const Shape& s, int seq, int tile, RowState<kRows, kColumns>& state) {
  const AttentionParams& a = s.p.params;
  const int query_end = s.p.query_start[seq + 1], head_begin = static_cast<int>(blockIdx.y) % s.head_tiles * s.heads;
  const int kv_head = static_cast<int>(blockIdx.y) / s.head_tiles;
#pragma unroll
  for (int r = 0; r < kRows; ++r) {
    const int row = static_cast<int>(threadIdx.x) / kWarp * kRows + r;
    const int token = s.p.query_start[seq] + tile * s.queries + row / s.heads, in_group = head_begin + row % s.heads;
    const bool there = row / s.heads < s.queries && token < query_end && in_group < s.group;
    const int head = kv_head * s.group + in_group;
    const KeyRange keys = there ? keys_of_query(s.p, seq, token) : KeyRange{0, 0};
    state.first[r] = keys.begin;
    state.last[r] = keys.end - 1;
    state.out[r] = there ? static_cast<int64_t>(token) * a.n_heads + head : -1;
    const bool sink = there && a.sinks != nullptr && blockIdx.z == 0;
    state.max[r] = sink ? a.sinks[head] : negative_infinity();
    state.sum[r] = sink ? 1.0f : 0.0f;
#pragma unroll
    for (int c = 0; c < kColumns; ++c) state.values[r][c] = 0;
  }
}

// One run of the tile's attention.
struct Run {
  RunRows keys, values;
  const float* queries;  // [key_dim][rows]
};

// Scores this lane's key for each row and updates the running softmax; returns the probabilities.
template <int kRows, int kColumns>
__device__ void weigh(const Shape& s, const Run& run, int key, RowState<kRows, kColumns>& state,
                      float (&weights)[kRows]) {
  const int lane = threadIdx.x % kWarp, row = static_cast<int>(threadIdx.x) / kWarp * kRows;
#pragma unroll
  for (int r = 0; r < kRows; ++r) weights[r] = 0;
  for (int d = 0; d < s.p.kv.key_dim; ++d) {
    const float k = run.keys.data[lane * run.keys.stride + d];
#pragma unroll
    for (int r = 0; r < kRows; ++r) weights[r] += k * run.queries[d * s.rows + row + r];
  }
#pragma unroll
  for (int r = 0; r < kRows; ++r) {
    const bool seen = key >= state.first[r] && key <= state.last[r];
    const float score = seen ? weights[r] * s.p.params.scale : negative_infinity();
    const float top = fmaxf(state.max[r], warp_max(score));
    const bool any = top > negative_infinity();
    weights[r] = seen ? expf(score - top) : 0.0f;
    const float shrink = any ? expf(state.max[r] - top) : 1.0f;
    state.sum[r] = state.sum[r] * shrink + warp_sum(weights[r]);
    state.max[r] = top;
#pragma unroll
    for (int c = 0; c < kColumns; ++c) state.values[r][c] *= shrink;
  }
}

template <int kRows, int kColumns>
__device__ void add_values(const Shape& s, RunRows values, int n, const float (&weights)[kRows],
                           RowState<kRows, kColumns>& state) {
  const int lane = threadIdx.x % kWarp, width = s.p.kv.value_dim;
  for (int key = 0; key < n; ++key) {
    float weight[kRows];
#pragma unroll
    for (int r = 0; r < kRows; ++r) weight[r] = __shfl_sync(kAllLanes, weights[r], key);
#pragma unroll
    for (int c = 0; c < kColumns; ++c) {
      const int at = lane + c * kWarp;
      const float v = at < width ? values.data[key * values.stride + at] : 0.0f;
#pragma unroll
      for (int r = 0; r < kRows; ++r) state.values[r][c] += weight[r] * v;
    }
  }
}

template <int kRows, int kColumns>
__device__ void end_rows(const Shape& s, int used, const RowState<kRows, kColumns>& state) {
  const int lane = threadIdx.x % kWarp, width = s.p.kv.value_dim;
#pragma unroll
  for (int r = 0; r < kRows; ++r) {
    if (state.out[r] < 0) continue;
    const int64_t token = state.out[r] / s.p.params.n_heads, head = state.out[r] % s.p.params.n_heads;
    float* partial = s.p.partial + (state.out[r] * s.splits + blockIdx.z) * (width + kHeader);
    if (s.splits > 1 && lane == 0) {
      partial[0] = state.max[r];
      partial[1] = state.sum[r];
      partial[2] = static_cast<float>(used);
    }
#pragma unroll
    for (int c = 0; c < kColumns; ++c) {
      const int at = lane + c * kWarp;
      if (at >= width) continue;
      if (used > 1) {
        partial[kHeader + at] = state.values[r][c];
      } else {
        put(s.p.out, token, head * width + at, state.sum[r] > 0 ? state.values[r][c] / state.sum[r] : 0.0f);
      }
    }
  }
}

// This block's split of the keys that the tile sees. Positions ascend: the first row's first key is the first.
__device__ Split keys_of(const Shape& s, int seq, int tile) {
  const int token = s.p.query_start[seq] + tile * s.queries,
            token_end = min(token + s.queries, s.p.query_start[seq + 1]);
  KeyRange keys{keys_of_query(s.p, seq, token).begin, keys_of_query(s.p, seq, token_end - 1).end};
  if (s.ordered && keys.end > keys.begin) keys.begin = keys.begin / kRun * kRun;
  return split_of(keys, s.splits, static_cast<int>(blockIdx.z), kRun, kRun);
}

template <int kRows, int kColumns>
__global__ void __launch_bounds__(kThreads) paged_attention_f32_kernel(Shape s) {
  extern __shared__ float memory[];
  __shared__ Places key_places, value_places;
  __shared__ Piece place;
  const Kv& kv = s.p.kv;
  if (threadIdx.x < kWarp) {
    const int32_t* starts = s.p.query_start;
    const int queries = s.queries;
    const Piece found = find_piece(static_cast<int>(blockIdx.x), s.p.n_seqs,
                                   [=](int seq) { return (starts[seq + 1] - starts[seq] + queries - 1) / queries; });
    if (threadIdx.x == 0) place = found;
  }
  __syncthreads();
  const int seq = place.item, tile = place.piece;
  if (seq < 0) return;
  const Split range = keys_of(s, seq, tile);
  if (static_cast<int>(blockIdx.z) >= range.used) return;
  const int kv_head = static_cast<int>(blockIdx.y) / s.head_tiles;
  float* const queries = memory;                                            // [key_dim][rows]
  float* const keys = queries + static_cast<int64_t>(kv.key_dim) * s.rows;  // [kRun][key_stride]
  float* const values = kv.latent ? keys : keys + kRun * s.key_stride;      // [kRun][value_dim]
  const Run run{{keys, s.key_stride}, {values, kv.latent ? s.key_stride : kv.value_dim}, queries};

  const int head_begin = static_cast<int>(blockIdx.y) % s.head_tiles * s.heads, query_end = s.p.query_start[seq + 1];
  for (int i = threadIdx.x; i < s.rows * kv.key_dim; i += kThreads) {
    const int row = i / kv.key_dim, d = i % kv.key_dim, in_group = head_begin + row % s.heads;
    const int token = s.p.query_start[seq] + tile * s.queries + row / s.heads;
    const bool there = row / s.heads < s.queries && token < query_end && in_group < s.group;
    const int64_t col = (static_cast<int64_t>(kv_head) * s.group + in_group) * kv.key_dim + d;
    queries[d * s.rows + row] = there ? at(s.p.q, token, col) : 0.0f;
  }
  RowState<kRows, kColumns> state;
  begin_rows(s, seq, tile, state);

  const int32_t* table = s.p.block_table + seq * table_cols_of(s.p);
  for (int begin = range.begin; begin < range.end; begin += kRun) {
    const int n = min(kRun, range.end - begin);
    __syncthreads();  // the last run is read
    if (threadIdx.x < n) {
      const int key = begin + static_cast<int>(threadIdx.x), block = table[key / kv.block_size];
      const int64_t slot = static_cast<int64_t>(block) * kv.block_size + key % kv.block_size;
      key_places.put(kv, static_cast<int>(threadIdx.x), slot, kv_head, false);
      value_places.put(kv, static_cast<int>(threadIdx.x), slot, kv_head, true);
    }
    __syncthreads();
    fetch_rows(kv, key_places, n, kv.key_dim, run.keys);
    if (!kv.latent) fetch_rows(kv, value_places, n, kv.value_dim, run.values);
    __syncthreads();
    float weights[kRows];
    weigh(s, run, begin + static_cast<int>(threadIdx.x) % kWarp, state, weights);
    add_values(s, run.values, n, weights, state);
  }
  end_rows(s, range.used, state);
}

// A block a row: merges the splits under one maximum, in their order.
__global__ void merge_kernel(Shape s) {
  const int64_t row = blockIdx.x, width = s.p.kv.value_dim, stride = width + kHeader;
  const float* partial = s.p.partial + row * s.splits * stride;
  const int used = static_cast<int>(partial[2]);
  if (used == 1) return;
  float top = negative_infinity();
  for (int i = 0; i < used; ++i) top = fmaxf(top, partial[i * stride]);
  if (top == negative_infinity()) top = 0;
  float total = 0;
  for (int i = 0; i < used; ++i) total += partial[i * stride + 1] * expf(partial[i * stride] - top);
  const int64_t token = row / s.p.params.n_heads, head = row % s.p.params.n_heads;
  for (int64_t c = threadIdx.x; c < width; c += blockDim.x) {
    float sum = 0;
    for (int i = 0; i < used; ++i) {
      const float* split = partial + i * stride;
      if (split[1] > 0) sum += split[kHeader + c] * expf(split[0] - top);
    }
    put(s.p.out, token, head * width + c, total > 0 ? sum / total : 0.0f);
  }
}

template <int kRows, int kColumns>
void launch(const Shape& s, dim3 grid, cudaStream_t stream) {
  const int values = s.p.kv.latent ? 0 : kRun * s.p.kv.value_dim;
  const size_t bytes =
      (static_cast<size_t>(s.p.kv.key_dim) * s.rows + static_cast<size_t>(kRun) * s.key_stride + values) *
      sizeof(float);
  constexpr int kBytesMax = 227 * 1024;  // of Hopper; kKeyDimMax and kValueDimMax stay below it
  constexpr int kPlacesMost = 2048;      // static memory: two Places and a few words
  allow_shared<paged_attention_f32_kernel<kRows, kColumns>>(kBytesMax - kPlacesMost);
  paged_attention_f32_kernel<kRows, kColumns><<<grid, kThreads, bytes, stream>>>(s);
}

template <int kRows>
void launch_rows(const Shape& s, dim3 grid, cudaStream_t stream) {
  const int width = s.p.kv.value_dim;
  if (width <= 2 * kWarp) return launch<kRows, 2>(s, grid, stream);
  if (width <= 4 * kWarp) return launch<kRows, 4>(s, grid, stream);
  if (width <= 8 * kWarp) return launch<kRows, 8>(s, grid, stream);
  launch<kRows, 16>(s, grid, stream);
}

void attend(const AttentionProblem& p, bool ordered, cudaStream_t stream) {
  if (p.n_tokens == 0) return;
  Shape s{};
  s.p = p;
  s.ordered = ordered;
  s.group = p.params.n_heads / p.kv.n_kv_heads;
  const int per_sequence = s.group * (p.n_tokens / p.n_seqs);        // rows of a kv head, about
  const int warp_rows = per_sequence <= kWarps && !ordered ? 1 : 4;  // one kernel keeps one order
  s.rows = kWarps * warp_rows;
  s.heads = s.group < s.rows ? s.group : s.rows;
  s.queries = s.rows / s.heads;
  s.head_tiles = (s.group + s.heads - 1) / s.heads;
  s.key_stride = p.kv.key_dim | 1;
  const int64_t tiles = min(static_cast<int64_t>(p.n_tokens), p.n_tokens / s.queries + static_cast<int64_t>(p.n_seqs));
  const int64_t across = static_cast<int64_t>(p.kv.n_kv_heads) * s.head_tiles;
  // Partial sums are indexed by row, so room is counted for all rows of the step.
  const int64_t floats = static_cast<int64_t>(p.n_tokens) * p.params.n_heads * (p.kv.value_dim + kHeader);
  s.splits =
      ordered ? 1 : choose_splits(p, tiles * across, ceil_div(floats, tiles * across), 4 * p.n_multiprocessors, 1);
  const dim3 grid(static_cast<unsigned>(tiles), static_cast<unsigned>(across), static_cast<unsigned>(s.splits));
  if (warp_rows == 1) {
    launch_rows<1>(s, grid, stream);
  } else {
    launch_rows<4>(s, grid, stream);
  }
  if (s.splits > 1) {
    merge_kernel<<<static_cast<unsigned>(p.n_tokens) * static_cast<unsigned>(p.params.n_heads), kThreads, 0, stream>>>(
        s);
  }
}

}  // namespace

void paged_attention_f32(const AttentionProblem& p, cudaStream_t stream) { attend(p, false, stream); }

void paged_attention_f32_ordered(const AttentionProblem& p, cudaStream_t stream) { attend(p, true, stream); }

}  // namespace polymath::backend::cuda
