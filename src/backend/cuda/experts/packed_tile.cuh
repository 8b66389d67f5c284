#pragma once

// TileConfig of packed weights.

#include "backend/cuda/experts/tile_sm90.cuh"

namespace polymath::backend::cuda {

// Few tokens. First_, Second_: the kinds of cells of the two GEMMs. A stage has one to three cells of each of its
// slabs, and their tokens. The work around a stage costs some 40 instructions a warp. Small tiles end together; enough
// warps then need more blocks. With more tokens, two slabs a warp halve what a weight costs in copies of tokens.
template <class First_, class Second_, int kTokens_>
struct PackedTileConfig {
  using First = First_;
  using Second = Second_;
  static constexpr int kTokens = kTokens_, kBoxTokens = 8;
  static constexpr int kGroups = 1, kBlocksAnSm = kTokens > 16 ? 3 : 4, kSlabsAWarp = kTokens > 16 ? 2 : 1;
  static constexpr bool kInParts = true, kWeightsOnce = true, kPacked = true;
  static constexpr int kCellBytes = First::kBytes > Second::kBytes ? First::kBytes : Second::kBytes;
  static constexpr int kStageCells = (kCellBytes > 800 ? 3 : 4) - kSlabsAWarp;
  static constexpr int kStageInputs = kStageCells * kCellCols;
  static constexpr int kAnnounceAhead = kTokens > 16 ? 2 : 3;
  static constexpr int kWarps = kGroups * kGroupThreads / kWarp, kArrivals = kWarps;  // arrivals free a stage
  static constexpr int kThreads = (kGroups + 1) * kGroupThreads;
  // Of a thread that multiplies and of one that copies; together no more than all start with.
  static constexpr int kConsumerRegisters = kBlocksAnSm > 3 ? 88 : 120, kProducerRegisters = 40;
  static constexpr int kSlabs = kWarps * kSlabsAWarp, kRows = kSlabs * kCellRows;
  static constexpr int kSlabBytes = kStageCells * kCellBytes;
  static constexpr int kWeightBytes = (kSlabs * kSlabBytes + 1023) / 1024 * 1024;  // tokens are aligned so
  static constexpr int kCellTokenBytes = kTokens * kRowBytes;
  static constexpr int kTokenBytes = kStageCells * kCellTokenBytes;
  static constexpr int kStageBytes = kWeightBytes + kTokenBytes;
  static constexpr int kStagesFit = (kBlocksAnSm > 3 ? 44 : 65) * 1024 / kStageBytes;
  static constexpr int kStages = kStagesFit < 6 ? kStagesFit : 6;
  static constexpr size_t kSharedBytes = static_cast<size_t>(kStages) * kStageBytes + 1024;
  static_assert(kTokens <= 32 && kStages >= 3);
};

// Many tokens: as TileConfig, but for the weights.
template <class Codes>
struct PackedManyConfig : TileConfig<2, 256, 4, 64, 1, false> {
  using First = Codes;
  using Second = Codes;
  static constexpr bool kPacked = true;
  static constexpr int kArrivals = kGroups * kGroupThreads / kWarp;
  static constexpr int kStageCells = 1, kSlabs = kRows / kCellRows, kSlabBytes = Codes::kBytes;
  static constexpr int kWeightBytes = (kSlabs * kSlabBytes + 1023) / 1024 * 1024;
  static constexpr int kCellTokenBytes = kTokenBytes, kStageBytes = kWeightBytes + kTokenBytes;
  static constexpr size_t kSharedBytes = static_cast<size_t>(kStages) * kStageBytes + 1024;
};

}  // namespace polymath::backend::cuda
