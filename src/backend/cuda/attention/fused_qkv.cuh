#pragma once

// The QKV prologue inside paged_attention_decode.cu, for one token. It normalises and rotates the block's own heads. It
// writes the new key and value into the cache and into the slice in shared memory. It saves the launch of
// qkv_prologue.cu.

#include "backend/cuda/attention/decode_job.cuh"
#include "backend/cuda/attention/kv_codes.cuh"

namespace polymath::backend::cuda {

// A row of a head, held by four lanes: lane l has elements 8 n + 2 (l % 4) + {0, 1}.
template <int kDim>
using HeadRow = float2[kDim / 8];

// In shared memory; every lane of the block reads it.
template <int kDim>
struct FreshSpace {
  float4 angles[kDim / 4];  // cosine and sine of each pair
  float q_weights[kDim], k_weights[kDim];
  uint4 row[2][kDim / 8];  // the new key, the new value, as the cache has them: the warp's that has them
  // Packed: of the key, of the value. Codes leave the last words free.
  __device__ __forceinline__ float& scale(int half) { return reinterpret_cast<float&>(row[half][kDim / 8 - 1]); }
  __device__ __forceinline__ float scale(int half) const {
    return reinterpret_cast<const float&>(row[half][kDim / 8 - 1]);
  }
};

// Starts the copies of weights and angles, which no kernel of the step writes. They belong to the lane's first cp.async
// group. head: the block's, where all heads are normalised together.
template <typename P, int kDim>
__device__ __forceinline__ void fetch_around(const QkvPrologue& p, int seq, int head, FreshSpace<kDim>& space) {
  constexpr int kWords = kDim / 4;
  const QkvParams& q = p.params;
  const float* const angles = q.rope.cos_sin == nullptr ? nullptr : q.rope.cos_sin + p.positions[seq] * kDim;
  static_assert(3 * kWords <= P::kBlockThreads);
  const int array = static_cast<int>(threadIdx.x) / kWords, word = static_cast<int>(threadIdx.x) % kWords;
  const float* from = array == 0 ? angles : array == 1 ? q.q_norm : array == 2 ? q.k_norm : nullptr;
  if (q.norm == QkvNorm::kWhole && array > 0 && from != nullptr) from += head * kDim;
  if (from != nullptr) fetch_word(shared_place(&space) + threadIdx.x * 16, from + word * 4, true);
}

template <int kDim>
__device__ __forceinline__ void load_row(const float* from, HeadRow<kDim>& v) {
#pragma unroll
  for (int n = 0; n < kDim / 8; ++n) {
    v[n] = __ldcg(reinterpret_cast<const float2*>(from + n * 8 + threadIdx.x % 4 * 2));
  }
}

// Sums of squares of all heads of q (x) and of k (y), a warp's share each. REQUIRES: as many heads of k as of q.
template <typename P, int kDim>
__device__ __forceinline__ float2 squares_of_warp(const QkvPrologue& p, const float* row) {
  const int words = p.params.n_heads * (kDim / 4);
  const auto* const q = reinterpret_cast<const float4*>(row);
  float2 sum{};
#pragma unroll 2
  for (int i = threadIdx.x; i < words; i += P::kBlockThreads) {
    const float4 a = __ldcg(q + i), b = __ldcg(q + words + i);
    sum.x += a.x * a.x + a.y * a.y + a.z * a.z + a.w * a.w;
    sum.y += b.x * b.x + b.y * b.y + b.z * b.z + b.w * b.w;
  }
  return {warp_sum(sum.x), warp_sum(sum.y)};
}

template <int kDim>
__device__ __forceinline__ float inverse_root(float eps, const HeadRow<kDim>& v) {
  float squares = 0;
#pragma unroll
  for (int n = 0; n < kDim / 8; ++n) squares += v[n].x * v[n].x + v[n].y * v[n].y;
  squares += __shfl_xor_sync(kAllLanes, squares, 1);
  squares += __shfl_xor_sync(kAllLanes, squares, 2);
  return rsqrtf(squares * (1.0f / kDim) + eps);
}

template <int kDim>
__device__ __forceinline__ void scale_row(float inverse, const float* weights, HeadRow<kDim>& v) {
#pragma unroll
  for (int n = 0; n < kDim / 8; ++n) {
    float2 weight{1, 1};
    if (weights != nullptr) weight = *reinterpret_cast<const float2*>(weights + n * 8 + threadIdx.x % 4 * 2);
    v[n] = {v[n].x * inverse * weight.x, v[n].y * inverse * weight.y};
  }
}

// What a row is normalised by. weights: shared memory, or null; whole: the root's inverse of all heads together.
struct RowNorms {
  const float* weights;
  float whole;
};

// As qkv_prologue.cu.
template <int kDim>
__device__ __forceinline__ void prepare_row(const QkvParams& q, const FreshSpace<kDim>& space, const RowNorms& norms,
                                            HeadRow<kDim>& v) {
  if (q.norm == QkvNorm::kHead || q.norm == QkvNorm::kWhole) {
    scale_row<kDim>(q.norm == QkvNorm::kWhole ? norms.whole : inverse_root<kDim>(q.eps, v), norms.weights, v);
  }
  if (q.rope.cos_sin != nullptr) {
#pragma unroll
    for (int n = 0; n < kDim / 16; ++n) {  // an element is rotated with the one half a head on
      const float4 angles = space.angles[n * 4 + threadIdx.x % 4];
      const float2 a = v[n], b = v[n + kDim / 16];
      v[n] = {a.x * angles.x - b.x * angles.y, a.y * angles.z - b.y * angles.w};
      v[n + kDim / 16] = {b.x * angles.x + a.x * angles.y, b.y * angles.z + a.y * angles.w};
    }
  }
  if (q.norm == QkvNorm::kHeadAfter) scale_row<kDim>(inverse_root<kDim>(q.eps, v), norms.weights, v);
}

// One warp stores the new key and value.
template <typename P, int kDim>
__device__ __forceinline__ void keep_row(const QkvPrologue& p, const Tile& tile, int slot,
                                         const FreshSpace<kDim>& space) {
  if (slot < 0) return;
  constexpr int kWords = P::Row::kWords;
  const int lane = static_cast<int>(threadIdx.x) % kWarp, half = lane / kWords, word = lane % kWords;
  if (half > 1) return;
  if constexpr (P::kPacked) {
    const PackedPlace place = packed_place(p.kv, slot, tile.kv_head, half == 1);
    auto* const data = static_cast<unsigned char*>(p.kv.data);
    reinterpret_cast<uint4*>(data + place.codes)[word] = space.row[half][word];
    if (word == 0) *reinterpret_cast<float*>(data + place.scale) = space.scale(half);
  } else {
    const int64_t block = slot / p.kv.block_size, offset = slot % p.kv.block_size;
    const int64_t to =
        half == 0 ? key_place(p.kv, block, tile.kv_head, offset) : value_place(p.kv, block, tile.kv_head, offset);
    reinterpret_cast<uint4*>(static_cast<__nv_bfloat16*>(p.kv.data) + to)[word] = space.row[half][word];
  }
}

// A token's place in the cache, loaded before the wait.
struct NewKey {
  bool here;  // this warp has it
  int slot;
  __device__ __forceinline__ NewKey(const QkvPrologue& p, const Tile& tile, bool is_here)
      : here(is_here), slot(is_here && tile.head_begin == 0 ? p.slots[tile.token] : -1) {}
};

// A token's row of the QKV GEMM's result, before norms and rotation.
struct FreshRow {
  const QkvPrologue& p;
  const Tile& tile;
  int head;  // of this lane's query
  NewKey key;
};

// The new key and value as the cache has them. value: of lanes below kDim / 4, four elements each.
template <typename P, int kDim>
__device__ __forceinline__ void round_row(const Kv& kv, const HeadRow<kDim>& key, const float4& value,
                                          FreshSpace<kDim>& space) {
  const int lane = threadIdx.x % kWarp;
  auto* const keys = reinterpret_cast<uint32_t*>(space.row[0]);
  if constexpr (P::kPacked) {
    uint32_t tops[2] = {};
    float2 low{}, high{};  // of the 16 elements that this lane encodes four of
#pragma unroll
    for (int n = 0; n < kDim / 8; ++n) {
      tops[0] = max(tops[0], max(magnitude_bits(key[n].x), magnitude_bits(key[n].y)));
      if (lane / 4 == n / 2) (n % 2 == 0 ? low : high) = key[n];
    }
    tops[1] = max(max(magnitude_bits(value.x), magnitude_bits(value.y)),
                  max(magnitude_bits(value.z), magnitude_bits(value.w)));
    const float scales[2] = {scale_of_head(kv.code, __reduce_max_sync(kAllLanes, tops[0])),
                             scale_of_head(kv.code, __reduce_max_sync(kAllLanes, tops[1]))};
    const uint32_t codes = codes_of_four(kv.code, scales[0], make_float4(low.x, high.x, low.y, high.y));
    int word;
    const uint32_t of_value = interleaved_codes(codes_of_four(kv.code, scales[1], value), word);
    if (lane < kDim / 4) keys[lane] = codes, reinterpret_cast<uint32_t*>(space.row[1])[word] = of_value;
    if (lane == 0) space.scale(0) = scales[0], space.scale(1) = scales[1];
  } else {
#pragma unroll
    for (int n = 0; n < kDim / 8; ++n) {
      if (lane < 4) keys[n * 4 + lane] = two_bf16(key[n].x, key[n].y);
    }
    if (lane < kDim / 4) {
      reinterpret_cast<uint2*>(space.row[1])[lane] = make_uint2(two_bf16(value.x, value.y), two_bf16(value.z, value.w));
    }
  }
}

// After the wait: the tile's queries as in load_queries(). The warp of the last slice adds the new key and value.
template <typename P, int kDim>
__device__ __forceinline__ void prepare_rows(const FreshRow& fresh, FreshSpace<kDim>& space, uint32_t (&q)[kDim / 8]) {
  static_assert(kDim <= 128);  // a lane has at most four elements of the value
  const QkvPrologue& p = fresh.p;
  const int lane = threadIdx.x % kWarp;
  const float* const row = static_cast<const float*>(p.qkv.data) + fresh.tile.token * p.qkv.stride;
  const float* const keys = row + (p.params.n_heads + fresh.tile.kv_head) * kDim;
  HeadRow<kDim> query, key;
  float4 value{};
  load_row<kDim>(row + fresh.head * kDim, query);
  if (fresh.key.here) {
    load_row<kDim>(keys, key);
    if (lane < kDim / 4) value = __ldcg(reinterpret_cast<const float4*>(keys + p.params.n_kv_heads * kDim) + lane);
  }
  const float factor = p.params.factors != nullptr ? p.params.factors[fresh.tile.token] : 1.0f;
  let_next_begin();
  const bool whole = p.params.norm == QkvNorm::kWhole;
  __shared__ float2 squares[P::kBlockThreads / kWarp];
  if (whole) squares[threadIdx.x / kWarp] = squares_of_warp<P, kDim>(p, row);
  wait_groups<P::kStages - 1>();
  __syncthreads();  // fetch_around()'s copies have arrived
  float2 all{};
#pragma unroll 1
  for (int i = 0; whole && i < P::kBlockThreads / kWarp; ++i) all.x += squares[i].x, all.y += squares[i].y;
  const float of_width = 1.0f / static_cast<float>(p.params.n_heads * kDim);
  prepare_row<kDim>(p.params, space,
                    {p.params.q_norm != nullptr ? space.q_weights : nullptr, rsqrtf(all.x * of_width + p.params.eps)},
                    query);
#pragma unroll
  for (int n = 0; n < kDim / 8; ++n) q[n] = two_bf16(query[n].x * factor, query[n].y * factor);
  if (!fresh.key.here) return;
  prepare_row<kDim>(p.params, space,
                    {p.params.k_norm != nullptr ? space.k_weights : nullptr, rsqrtf(all.y * of_width + p.params.eps)},
                    key);
  round_row<P, kDim>(p.kv, key, value, space);
  __syncwarp();
  keep_row<P, kDim>(p, fresh.tile, fresh.key.slot, space);
}

// The new key and value into row `row` of their stage, once its copies have arrived.
template <typename P, int kDim>
__device__ __forceinline__ void put_row(const FreshSpace<kDim>& space, int row, uint32_t stage) {
  constexpr int kWords = P::Row::kWords;
  const int lane = static_cast<int>(threadIdx.x) % kWarp, half = lane / kWords, word = lane % kWords;
  if (half < 2) {
    const uint4 v = space.row[half][word];
    asm volatile("st.shared.v4.u32 [%0], {%1, %2, %3, %4};" ::"r"(stage + half * P::kHalf + P::Row::offset(row, word)),
                 "r"(v.x), "r"(v.y), "r"(v.z), "r"(v.w)
                 : "memory");
    if constexpr (P::kPacked) {
      if (word == 0) {
        asm volatile("st.shared.f32 [%0], %1;" ::"r"(stage + P::kScales + half * 64 + row * 4), "f"(space.scale(half))
                     : "memory");
      }
    }
  }
  __syncwarp();
}

}  // namespace polymath::backend::cuda
