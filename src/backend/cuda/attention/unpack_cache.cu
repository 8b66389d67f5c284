#include "backend/cuda/attention/unpack_cache.h"

#include <algorithm>

#include "backend/cuda/attention/kv_codes.cuh"
#include "backend/cuda/attention/split_kv.cuh"
#include "backend/cuda/launch.cuh"

namespace polymath::backend::cuda {
namespace {

constexpr int kWarps = 8, kPage = 8;

struct UnpackTask {
  AttentionProblem p;  // packed
  __nv_bfloat16* to;
  int32_t* first_blocks;  // [n_seqs]
  int64_t block_bytes;
  int least;        // queries of a sequence
  int block_pages;  // of all heads' keys and values
};

// A sequence's blocks that its queries see.
struct SeenBlocks {
  int begin = 0, n = 0;
};
__device__ __forceinline__ SeenBlocks seen_blocks(const UnpackTask& t, int seq) {
  const int first = t.p.query_start[seq], end = t.p.query_start[seq + 1];
  if (end - first < t.least) return {};
  const int begin = keys_of_query(t.p, seq, first).begin / t.p.kv.block_size;
  const int last = (keys_of_query(t.p, seq, end - 1).end + t.p.kv.block_size - 1) / t.p.kv.block_size;
  return {begin, max(last - begin, 0)};
}

// By a warp: page `from` of codes and scales to 8 rows of bf16.
__device__ __forceinline__ void unpack_page(const KvDecoder& decoder, int dim, const unsigned char* from,
                                            __nv_bfloat16* to) {
  const int words = dim / 16;
  for (int i = static_cast<int>(threadIdx.x) % kWarp; i < kPage * words; i += kWarp) {
    const float scale = reinterpret_cast<const float*>(from + kPage * dim)[i / words];
    const Sixteen v = unpacked(decoder, KvScale(scale), reinterpret_cast<const uint4*>(from)[i]);
    reinterpret_cast<uint4*>(to)[2 * i] = v.low;
    reinterpret_cast<uint4*>(to)[2 * i + 1] = v.high;
  }
}

// blockIdx.y: the sequence; blockIdx.x: its share of the sequence's blocks.
__global__ void __launch_bounds__(kWarps* kWarp) unpack_kernel(const __grid_constant__ UnpackTask t) {
  wait_for_input();
  const int seq = static_cast<int>(blockIdx.y), lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
  int before = 0;
  for (int s = lane; s < seq; s += kWarp) before += seen_blocks(t, s).n;
  before = warp_sum(before);
  const SeenBlocks own = seen_blocks(t, seq);
  if (blockIdx.x == 0 && threadIdx.x == 0) t.first_blocks[seq] = before - own.begin;
  const KvDecoder decoder(t.p.kv.code);
  const int dim = t.p.kv.key_dim;
  const int32_t* const table = t.p.block_table + seq * table_cols_of(t.p) + own.begin;
  const auto* const data = static_cast<const unsigned char*>(t.p.kv.data);
  for (int b = static_cast<int>(blockIdx.x); b < own.n; b += static_cast<int>(gridDim.x)) {
    const auto* const from = data + table[b] * t.block_bytes;
    __nv_bfloat16* const to = t.to + static_cast<int64_t>(before + b) * t.block_pages * (kPage * dim);
    for (int page = warp; page < t.block_pages; page += kWarps) {
      unpack_page(decoder, dim, from + page * page_bytes(kPage, dim), to + page * (kPage * dim));
    }
  }
}

}  // namespace

UnpackedProblem unpacked_problem(const AttentionProblem& packed) {
  constexpr int kAligned = 64;
  UnpackedProblem u{packed};
  AttentionProblem& p = u.problem;
  p.kv.code = KvCode::kNone;
  p.kv.data = p.partial;
  const int64_t floats = p.partial_floats - ceil_div(p.n_seqs, kAligned) * kAligned;
  p.kv.n_blocks = floats * static_cast<int64_t>(sizeof(float)) / kv_block_bytes(p.kv);
  p.first_blocks = reinterpret_cast<const int32_t*>(p.partial + floats);
  int64_t blocks = p.table_cols;
  if (p.keys_most > 0) blocks = std::min(blocks, ceil_div(p.keys_most, p.kv.block_size));
  u.fits = blocks * p.n_seqs <= p.kv.n_blocks;
  p.partial = nullptr, p.partial_floats = 0;
  return u;
}

void unpack_cache(const AttentionProblem& packed, const AttentionProblem& p, int least, cudaStream_t stream) {
  constexpr int kBlocksAnSm = 4;
  UnpackTask t{.p = packed,
               .to = static_cast<__nv_bfloat16*>(p.kv.data),
               .first_blocks = const_cast<int32_t*>(p.first_blocks),
               .block_bytes = kv_block_bytes(packed.kv),
               .least = least,
               .block_pages = packed.kv.block_size / kPage * packed.kv.n_kv_heads * (packed.kv.latent ? 1 : 2)};
  const auto across = static_cast<unsigned>(ceil_div(int64_t{kBlocksAnSm} * p.n_multiprocessors, p.n_seqs));
  launch_after(unpack_kernel, {dim3(across, static_cast<unsigned>(p.n_seqs)), dim3(kWarps * kWarp), 0, stream}, t);
}

}  // namespace polymath::backend::cuda
