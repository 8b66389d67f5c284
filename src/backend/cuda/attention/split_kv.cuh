#pragma once

// Split-KV: the keys that a query sees, and how a tile's keys are split over blocks.
//
// A CUDA graph replays a step with longer contexts. So the grid depends on the step's shape alone. Each block computes
// on the device how many splits pay for their merge. Surplus blocks exit at once.

#include <climits>

#include "backend/cuda/attention/attention.h"
#include "backend/cuda/device_math.cuh"

namespace polymath::backend::cuda {

constexpr int kSplitsMax = 32;  // more would not shorten a step, and the merge reads them all

struct KeyRange {
  int begin, end;  // keys [begin, end) are seen; end <= begin: none
};

__device__ __forceinline__ int length_of(const AttentionProblem& p, int seq) {
  return p.kv_len != nullptr ? p.kv_len[seq] : INT_MAX;
}
// Without chunks.
__device__ __forceinline__ KeyRange keys_in_window(const AttentionParams& params, int position, int length) {
  return {params.window > 0 ? max(position - params.window + 1, 0) : 0, min(position + 1, length)};
}

// Of a query at `position` of a context of `length` tokens.
__device__ __forceinline__ KeyRange keys_at(const AttentionParams& params, int position, int length) {
  KeyRange keys = keys_in_window(params, position, length);
  if (params.chunk > 0) keys.begin = max(keys.begin, position - position % params.chunk);
  return keys;
}
__device__ __forceinline__ KeyRange keys_of_query(const AttentionProblem& p, int seq, int token) {
  return keys_at(p.params, p.positions[token], length_of(p, seq));
}

__device__ __forceinline__ int64_t table_cols_of(const AttentionProblem& p) {
  return p.table_stride != nullptr ? static_cast<int64_t>(*p.table_stride) : p.table_cols;
}

struct Split {
  int begin, end;  // its keys
  int used;        // splits of the tile that have keys; at least 1, so that someone writes the output
};

// The `index`-th of at most `splits` parts of a tile's keys, each of `least` keys or more. Parts begin at multiples of
// `step` after the first key. Few keys are not split: the merge would cost more.
__device__ __forceinline__ Split split_of(KeyRange keys, int splits, int index, int step, int least) {
  const int n = keys.end - keys.begin;
  if (n <= 0) return {0, 0, 1};
  if (n <= 2 * least || splits == 1) return {keys.begin, keys.end, 1};
  const int wanted = min(splits, (n + least - 1) / least);
  const int each = ((n + wanted - 1) / wanted + step - 1) / step * step, used = (n + each - 1) / each;
  const int begin = min(keys.begin + index * each, keys.end);
  return {begin, min(begin + each, keys.end), used};
}

// Splits of a grid of `blocks` tiles and heads. Enough for `wanted` blocks, at least `least`, bounded by the room for
// partial sums.
inline int choose_splits(const AttentionProblem& p, int64_t blocks, int64_t floats_of_block, int64_t wanted,
                         int64_t least) {
  const int64_t room = p.partial_floats / floats_of_block / blocks;
  int64_t splits = wanted / blocks;
  if (splits < least) splits = least;
  if (splits > kSplitsMax) splits = kSplitsMax;
  if (splits > room) splits = room;
  return static_cast<int>(splits < 1 ? 1 : splits);
}

}  // namespace polymath::backend::cuda
