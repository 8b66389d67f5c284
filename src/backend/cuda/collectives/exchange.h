#pragma once

// All-reduce and all-gather over peer memory: each rank stores its part into every peer's inbox, over NVLink.
//
// One kernel a rank, so a CUDA graph can hold it. A block waits only for the blocks of its own index on the peers. Its
// epoch counts its chunks, which alternate between two halves of the inbox. A peer that sent chunk e - 1 has read e
// - 2.

#include <cuda_runtime_api.h>

#include <cstdint>

#include "backend/cuda/matrix.h"

namespace polymath::backend::cuda {

inline constexpr int kRanksMax = 8;              // more: make_communicators() refuses
inline constexpr int kExchangeBlocks = 128;      // at most
inline constexpr int64_t kExchangeChunk = 8192;  // floats of a block at once, at most
inline constexpr int kFlagStride = 8;            // a flag has 32 bytes of its own

struct Exchange {
  int size = 0, at = 0;
  float* inbox[kRanksMax] = {};     // of each rank: [2][size senders][kExchangeBlocks][kExchangeChunk]
  unsigned* flags[kRanksMax] = {};  // of each rank: [kExchangeBlocks][size senders], latest epoch received
  unsigned* epochs = nullptr;       // [kExchangeBlocks]: of this rank's last chunk

  static constexpr int64_t inbox_floats(int size) { return 2 * size * kExchangeBlocks * kExchangeChunk; }
  static constexpr int64_t flag_words(int size) { return int64_t{kExchangeBlocks} * size * kFlagStride; }
};

// x = the sum over ranks, in their order; f32 without gaps.
void all_reduce_sum(const Exchange& exchange, const Matrix& x, cudaStream_t stream);
// all[:, r * part.cols ..] = rank r's part; f32. REQUIRES: rows of `part` without gaps.
void all_gather_cols(const Exchange& exchange, const Matrix& part, const Matrix& all, cudaStream_t stream);

}  // namespace polymath::backend::cuda
