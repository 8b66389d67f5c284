#pragma once

// Long contexts of paged_attention_ordered.cu's decode steps: several blocks share a sequence's cuts. Each writes its
// cuts' sums; the last one folds them in order, as one block would. So the bits do not depend on who shares what.

#include "backend/cuda/attention/ordered_cuts.cuh"

namespace polymath::backend::cuda {

constexpr int kPieceCuts = 16;  // of a block; a sequence of no more has one block

// What the launch allows. blocks 0: every sequence has one block.
struct Pieces {
  int blocks = 0;          // beside one a sequence
  int cuts_most = 0;       // of a shared sequence: the fold's shared memory
  int64_t units_most = 0;  // cuts that the partial sums have room for
};

// A block's part of a sequence: its cuts [first, first + n) of `all`.
struct CutWork {
  Tile tile;
  Split keys;  // of the part
  int first, n, all;
  bool shared;
  int64_t unit;  // shared: the place of the sequence's first cut among the partial sums
};

__device__ __forceinline__ Split keys_of_one(const TileShape& s, int seq) {
  const KeyRange keys = keys_of_query(s.p, seq, seq);
  if (keys.end <= keys.begin) return {0, 0, 1};
  return {keys.begin / kOrderedKeys * kOrderedKeys, keys.end, 1};
}
__device__ __forceinline__ int cuts_of(const Split& keys) {
  return (keys.end - keys.begin + kOrderedKeys - 1) / kOrderedKeys;
}
// Cuts of a sequence that blocks share; 0: it has one block.
__device__ __forceinline__ int shared_cuts(const TileShape& s, const Pieces& pieces, int seq) {
  const int cuts = cuts_of(keys_of_one(s, seq));
  return cuts > kPieceCuts && cuts <= pieces.cuts_most ? cuts : 0;
}

__device__ __forceinline__ CutWork whole_of(const Tile& tile, const Split& keys) {
  const int cuts = cuts_of(keys);
  return {tile, keys, 0, cuts, cuts, false, 0};
}

// One query a sequence. Block i has the first part of sequence i. Later parts are dealt to the blocks after those; this
// is the `extra`-th of them. By whole warps. tile.seq -1: no such part.
__device__ __forceinline__ CutWork find_part(const TileShape& s, const Pieces& pieces, int extra) {
  const int lane = threadIdx.x % kWarp;
  Piece found{static_cast<int>(blockIdx.y), 0};
  Tile tile = make_tile(s, found.item, static_cast<int>(blockIdx.x));
  if (extra < 0) {
    tile.token = found.item, tile.token_end = found.item + 1;
    const Split keys = keys_of_one(s, found.item);
    if (pieces.blocks == 0 || cuts_of(keys) <= kPieceCuts) return whole_of(tile, keys);
  }
  int64_t all = 0;
  for (int seq = lane; seq < s.p.n_seqs; seq += kWarp) all += shared_cuts(s, pieces, seq);
  const bool fits = warp_sum(all) <= pieces.units_most;
  if (extra >= 0) {
    found =
        find_piece(extra, s.p.n_seqs, [&](int seq) { return max(shared_cuts(s, pieces, seq) - 1, 0) / kPieceCuts; });
    tile.seq = fits ? found.item : -1;
    if (tile.seq < 0) return {tile, {0, 0, 1}, 0, 0, 0, false, 0};
    tile.token = found.item, tile.token_end = found.item + 1;
    ++found.piece;
  }
  const Split keys = keys_of_one(s, found.item);
  const int cuts = fits ? shared_cuts(s, pieces, found.item) : 0;
  if (cuts == 0) return whole_of(tile, keys);
  int64_t before = 0;
  for (int seq = lane; seq < found.item; seq += kWarp) before += shared_cuts(s, pieces, seq);
  const int first = found.piece * kPieceCuts, n = min(kPieceCuts, cuts - first),
            begin = keys.begin + first * kOrderedKeys;
  return {tile, {begin, min(begin + n * kOrderedKeys, keys.end), 1}, first, n, cuts, true, warp_sum(before)};
}

// A cut's sums: values [rows][kDim], then {maximum, sum} of each row.
template <int kDim>
__device__ __forceinline__ float* cut_sums(const TileShape& s, const CutWork& work, int cut) {
  return s.p.partial + ((work.unit + cut) * gridDim.x + blockIdx.x) * (s.rows * (kDim + 4));
}

// Cut `cut` of the sequence, which is cleared.
template <int kDim>
__device__ __forceinline__ void put_cut(const TileShape& s, const CutWork& work, int cut, Sums<kDim, 1>& sums) {
  const int lane = threadIdx.x % kWarp;
  end_cut(s.scale, sums);
  float* const to = cut_sums<kDim>(s, work, cut);
#pragma unroll
  for (int h = 0; h < 2; ++h) {
    const int row = h * 8 + lane / 4;
    if (row >= s.rows) continue;
    if (lane % 4 == 0) reinterpret_cast<float2*>(to + s.rows * kDim)[row] = {sums.max[0][h], sums.sum[0][h]};
#pragma unroll
    for (int n = 0; n < kDim / 8; ++n) {
      *reinterpret_cast<float2*>(to + row * kDim + n * 8 + lane % 4 * 2) = {sums.values[0][n][2 * h],
                                                                            sums.values[0][n][2 * h + 1]};
    }
  }
  sums.clear();
}

// Row sums of all cuts in `rows` [all][rows]: {maximum, sum, keep, add} in the end. Returns each row's whole sum.
template <int kDim>
__device__ __forceinline__ void fold_rows(const TileShape& s, const CutWork& work, float4* rows, float* totals) {
  const int n = work.all * s.rows, own = static_cast<int>(threadIdx.x);
  for (int i = own; i < n; i += kThreads) {
    const float* const of_cut = cut_sums<kDim>(s, work, i / s.rows) + s.rows * kDim;
    const float2 row = __ldcg(reinterpret_cast<const float2*>(of_cut) + i % s.rows);
    rows[i] = make_float4(row.x, row.y, 0, 0);
  }
  __syncthreads();
  const RowPlace place = place_of(s, work.tile, own);
  const bool sinks = own < s.rows && s.p.params.sinks != nullptr && place.token >= 0;
  if (own < s.rows) {
    float top = sinks ? s.p.params.sinks[place.head] * kPowersOfE : negative_infinity();
    for (int cut = 0; cut < work.all; ++cut) {
      float4& row = rows[cut * s.rows + own];
      row.z = top;
      top = fmaxf(top, row.x);
    }
  }
  __syncthreads();
  for (int i = own; i < n; i += kThreads) {
    const Folding folding(rows[i].z, rows[i].x);
    rows[i].z = folding.keep, rows[i].w = folding.add;
  }
  __syncthreads();
  if (own < s.rows) {
    float sum = sinks ? 1.0f : 0.0f;
    for (int cut = 0; cut < work.all; ++cut) {
      const float4 row = rows[cut * s.rows + own];
      sum = __fmaf_rn(sum, row.z, __fmul_rn(row.y, row.w));
    }
    totals[own] = sum;
  }
  __syncthreads();
}

// By the last block of a sequence: folds all cuts in order and writes the output. `memory`: shared.
template <int kDim>
__device__ __noinline__ void fold_shared(const TileShape& s, const CutWork& work, unsigned char* memory) {
  __shared__ float totals[kNarrowRows];
  auto* const rows = reinterpret_cast<float4*>(memory);
  fold_rows<kDim>(s, work, rows, totals);
  constexpr int kDeep = 8;  // cuts in flight together
  for (int at = threadIdx.x; at < s.rows * (kDim / 4); at += kThreads) {
    const int row = at / (kDim / 4);
    float4 v = make_float4(0, 0, 0, 0);
    for (int first = 0; first < work.all; first += kDeep) {
      float4 of_cut[kDeep];
#pragma unroll
      for (int k = 0; k < kDeep; ++k) {
        of_cut[k] = __ldcg(reinterpret_cast<const float4*>(cut_sums<kDim>(s, work, min(first + k, work.all - 1))) + at);
      }
#pragma unroll
      for (int k = 0; k < kDeep; ++k) {
        if (first + k >= work.all) continue;
        const float4 f = rows[(first + k) * s.rows + row];
        v = make_float4(
            __fmaf_rn(v.x, f.z, __fmul_rn(of_cut[k].x, f.w)), __fmaf_rn(v.y, f.z, __fmul_rn(of_cut[k].y, f.w)),
            __fmaf_rn(v.z, f.z, __fmul_rn(of_cut[k].z, f.w)), __fmaf_rn(v.w, f.z, __fmul_rn(of_cut[k].w, f.w)));
      }
    }
    const RowPlace place = place_of(s, work.tile, row);
    if (place.token < 0) continue;
    const float part = totals[row] > 0 ? 1.0f / totals[row] : 0.0f;
    put_four(s, place.token, static_cast<int64_t>(place.head) * kDim + at % (kDim / 4) * 4,
             make_float4(__fmul_rn(v.x, part), __fmul_rn(v.y, part), __fmul_rn(v.z, part), __fmul_rn(v.w, part)));
  }
}

}  // namespace polymath::backend::cuda
