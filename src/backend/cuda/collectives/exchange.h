#pragma once

// All-reduce and all-gather over peer memory: each rank stores its part into every peer's inbox, over NVLink.
//
// One kernel a rank, so a CUDA graph can hold it. A block waits only for the blocks of its own index on the peers. Its
// epoch counts its chunks.
//
// Small sums: every float travels beside its epoch, so that it needs no flag (the LL protocol of NCCL). A peer that
// sent epoch e - 1 has read e - 2: two buffers are enough. All others: a chunk, then a flag. A block sends its next
// chunk before it awaits the last one. A peer that raised flag e - 1 has read e - 3: four buffers.

#include <cuda_runtime_api.h>

#include <cstdint>

#include "backend/cuda/matrix.h"

namespace polymath::backend::cuda {

inline constexpr int kRanksMax = 8;              // more: make_communicators() refuses
inline constexpr int kExchangeBlocks = 384;      // at most; some three an SM hide each other's waits
inline constexpr int64_t kExchangeChunk = 4096;  // floats of a block at once, at most
inline constexpr int kExchangeBuffers = 4;
inline constexpr int kFlagStride = 8;  // a flag has 32 bytes of its own
inline constexpr int kSmallBlocks = 128;
inline constexpr int64_t kSmallChunk = 1024;  // floats of a block
inline constexpr int64_t kSmallFloats = kSmallBlocks * kSmallChunk;
inline constexpr int kSmallBuffers = 2;

struct Exchange {
  int size = 0, at = 0;
  float* inbox[kRanksMax] = {};     // of each rank: [kExchangeBuffers][size senders][kExchangeBlocks][kExchangeChunk]
  unsigned* flags[kRanksMax] = {};  // of each rank: [kExchangeBlocks][size senders], latest epoch received
  uint32_t* small[kRanksMax] = {};  // of each rank: [kSmallBuffers][size senders][kSmallFloats][float, epoch]
  unsigned* epochs = nullptr;       // of this rank: [kExchangeBlocks], then [kSmallBlocks] of small sums

  static constexpr int64_t inbox_floats(int size) { return kExchangeBuffers * size * kExchangeBlocks * kExchangeChunk; }
  static constexpr int64_t flag_words(int size) { return int64_t{kExchangeBlocks} * size * kFlagStride; }
  static constexpr int64_t small_words(int size) { return kSmallBuffers * size * kSmallFloats * 2; }
};

// x = the sum over ranks, in their order; f32 without gaps.
void all_reduce_sum(const Exchange& exchange, const Matrix& x, cudaStream_t stream);
// all[:, r * part.cols ..] = rank r's part; f32. REQUIRES: rows of `part` without gaps.
void all_gather_cols(const Exchange& exchange, const Matrix& part, const Matrix& all, cudaStream_t stream);

}  // namespace polymath::backend::cuda
