#pragma once

// Tiles of grouped GEMMs on wgmma, fed by TMA.
//
// Weights are the operand of 64 rows, tokens the one of 8 to 256. A tile so pads tokens to 8, not to 64. So one kernel
// serves two tokens an expert or hundreds. One warp copies stages of 64 inputs into a ring. Each of kGroups warpgroups
// multiplies its 64 weight rows with all of the tile's tokens. TMA interleaves a gated weight by eight rows, gate and
// up: a thread holds a gate and its up.
//
// Tiles go expert by expert, then by weight rows, tokens innermost. Blocks that share weights so run side by side, and
// weights come from memory once. Each block finds its tiles from the experts' offsets. Tokens past an expert's last
// belong to the next one: they are multiplied and dropped.

#include <type_traits>
#include "backend/cuda/device_math.cuh"

#include "backend/cuda/experts/experts.h"
#include "backend/cuda/packed/wgmma_cells.cuh"
#include "backend/cuda/pipeline.cuh"
#include "backend/cuda/tensor_map.h"

namespace polymath::backend::cuda {

constexpr int kInputs = 64;  // of a stage: 128 bytes a row
constexpr int kRowBytes = kInputs * 2;
constexpr int kGroupRows = 64;

// The parameters that differ between many tokens and few.
template <int kGroups_, int kTokens_, int kStages_, int kBoxTokens_, int kBlocksAnSm_, bool kInParts_>
struct TileConfig {
  static constexpr int kGroups = kGroups_;  // warpgroups that multiply
  static constexpr int kTokens = kTokens_;  // of a tile, at most
  static constexpr int kStages = kStages_;
  static constexpr int kBoxTokens = kBoxTokens_;  // of one copy
  static constexpr int kBlocksAnSm = kBlocksAnSm_;
  static constexpr bool kInParts = kInParts_;          // else the inputs are never cut
  static constexpr bool kWeightsOnce = kTokens <= 64;  // by one tile of tokens, mostly
  static constexpr bool kPacked = false;
  static constexpr int kAnnounceAhead = 6;  // stages of a tile whose copies have not begun when the next one is claimed
  static constexpr int kArrivals = kGroups;  // that free a stage
  static constexpr int kStageInputs = kInputs;
  static constexpr int kRows = kGroups * kGroupRows;
  static constexpr int kThreads = (kGroups + 1) * kGroupThreads;
  static constexpr int kWeightBytes = kRows * kRowBytes, kTokenBytes = kTokens * kRowBytes;
  static constexpr int kStageBytes = kWeightBytes + kTokenBytes;
  static constexpr size_t kSharedBytes = static_cast<size_t>(kStages) * kStageBytes + 1024;  // to be aligned
};
// The epilogue of a tile.
enum class End { kSilu, kAnyGlu, kOutput, kCount };

struct TiledGemm {
  ExpertGemm p;
  int row_tiles = 0;               // counting every part of the inputs
  int stages = 0, all_stages = 0;  // of a part; of all inputs
  int slabs = 0, cells = 0;        // packed: of an expert, of a slab
};

struct Tile {  // without initialisers, for shared memory
  int expert, row_tile, part;
  int begin, n;   // sorted pairs
  int of_tokens;  // which of the step's tiles of tokens
};
template <typename V>
__device__ __forceinline__ int stages_of(const TiledGemm& gemm, const Tile& tile) {
  if (!V::kInParts) return gemm.stages;
  return min(gemm.stages, gemm.all_stages - tile.part * gemm.stages);
}

// First pair and first token tile of every expert; in shared memory.
template <typename Int>
struct ExpertTiles {
  Int pairs[routing::kExpertsMax + 1], tiles[routing::kExpertsMax + 1];
};

// fetch_pairs() by the whole block; after a barrier, count_tiles() by one warp.
template <typename Int>
__device__ __forceinline__ void fetch_pairs(const Groups& groups, ExpertTiles<Int>& experts) {
  for (int e = threadIdx.x; e <= groups.n_experts; e += static_cast<int>(blockDim.x)) {
    experts.pairs[e] = static_cast<Int>(groups.offsets[e]);
  }
}
template <typename V, typename Int>
__device__ __forceinline__ void count_tiles(int n_experts, ExpertTiles<Int>& experts) {
  const int lane = threadIdx.x % kWarp, each = n_experts / kWarp + 1;
  const int begin = min(lane * each, n_experts), end = min(begin + each, n_experts);
  const auto tiles_of = [&](int e) { return (experts.pairs[e + 1] - experts.pairs[e] + V::kTokens - 1) / V::kTokens; };
  int mine = 0;
  for (int e = begin; e < end; ++e) mine += tiles_of(e);
  const int through = warp_prefix(mine);
  int before = through - mine;
  for (int e = begin; e < end; ++e) {
    experts.tiles[e] = static_cast<Int>(before);
    before += tiles_of(e);
  }
  if (lane == kWarp - 1) experts.tiles[n_experts] = static_cast<Int>(through);
}

// An expert's tokens are split into equal tiles, rounded up to eights.
template <typename V, typename Int>
__device__ Tile find_tile(const TiledGemm& gemm, const ExpertTiles<Int>& experts, int index) {
  int low = 0, high = gemm.p.groups.n_experts;  // the last expert whose tiles begin at or before `index`
  while (high - low > 1) {
    const int middle = (low + high) / 2;
    if (experts.tiles[middle] * gemm.row_tiles <= index) {
      low = middle;
    } else {
      high = middle;
    }
  }
  const int before = experts.tiles[low], token_tiles = experts.tiles[low + 1] - before;
  const int rest = index - before * gemm.row_tiles, begin = experts.pairs[low];
  const int tokens = experts.pairs[low + 1] - begin;
  const int each = ((tokens + token_tiles - 1) / token_tiles + 7) / 8 * 8, nth = rest % token_tiles;
  const int rows = rest / token_tiles, parts = V::kInParts ? gemm.p.parts : 1;
  return {.expert = low,
          .row_tile = rows / parts,
          .part = rows % parts,
          .begin = begin + nth * each,
          .n = min(each, tokens - nth * each),
          .of_tokens = before + nth};
}

// Cells that a stage has of each slab; `s` counts over all inputs.
template <typename V>
__device__ __forceinline__ int cells_of_stage(const TiledGemm& gemm, int s) {
  return min(V::kStageCells, gemm.cells - s * V::kStageCells);
}

// The TMA copies of a tile, stage by stage. Packed weights: by a whole warp, each lane a slab or a box of tokens. One
// lane for all of them took longer than the warps that multiply. Slabs past the last are not copied: their rows' sums
// are not written.
template <typename V>
class PackedCopies {
 public:
  __device__ __forceinline__ PackedCopies(const TiledGemm& gemm, const OperandMaps& maps, const Tile& tile)
      : tokens_(&maps.tokens) {
    const int lane = threadIdx.x % kWarp, s = tile.part * gemm.stages;
    const int slab = tile.row_tile * V::kSlabs;
    const int64_t row = static_cast<int64_t>(tile.expert) * gemm.slabs + slab + lane;
    cell_bytes_ = gemm.p.first ? V::First::kBytes : V::Second::kBytes;
    n_slabs_ = min(V::kSlabs, gemm.slabs - slab);
    cells_ = gemm.cells - s * V::kStageCells;
    from_ = static_cast<const uint8_t*>(gemm.p.w.data) + (row * gemm.cells + s * V::kStageCells) * cell_bytes_;
    const int boxes = (tile.n + V::kBoxTokens - 1) / V::kBoxTokens;
    token_bytes_ = static_cast<uint32_t>(V::kStageCells * boxes * V::kBoxTokens * kRowBytes);
    static_assert(V::kSlabs + V::kStageCells * V::kTokens / V::kBoxTokens <= kWarp);
    const int copy = lane - V::kSlabs, cell = copy / max(boxes, 1), box = copy - cell * boxes;
    has_tokens_ = copy >= 0 && cell < V::kStageCells;
    input_ = s * V::kStageInputs + cell * kInputs;
    token_ = (gemm.p.sorted ? tile.begin : 0) + box * V::kBoxTokens;
    to_ = lane < V::kSlabs ? lane * V::kSlabBytes
                           : V::kWeightBytes + cell * V::kCellTokenBytes + box * V::kBoxTokens * kRowBytes;
  }
  // Of the next stage, into the pipeline's.
  __device__ __forceinline__ void next(const Pipeline<V>& pipeline) {
    const int lane = threadIdx.x % kWarp;
    uint64_t* const full = &pipeline.ring.full[pipeline.next.stage];
    const auto bytes = static_cast<uint32_t>(min(V::kStageCells, cells_) * cell_bytes_);
    if (lane == 0) barrier_expect(full, static_cast<uint32_t>(n_slabs_) * bytes + token_bytes_);
    __syncwarp();
    if (lane < n_slabs_) {
      if constexpr (V::kWeightsOnce) {
        copy_bulk(pipeline.stage() + to_, from_, bytes, full, policy_);
      } else {
        copy_bulk(pipeline.stage() + to_, from_, bytes, full);
      }
    }
    if (has_tokens_) copy_tensor_2d(pipeline.stage() + to_, tokens_, full, input_, token_);
    from_ += V::kStageCells * cell_bytes_, cells_ -= V::kStageCells, input_ += V::kStageInputs;
  }

 private:
  const CUtensorMap* tokens_;
  uint64_t policy_ = read_once();
  const uint8_t* from_;               // the lane's slab
  int cell_bytes_, n_slabs_, cells_;  // cells: that are left
  uint32_t token_bytes_;
  bool has_tokens_;
  int input_, token_, to_;
};

// The same of plain weights, by one thread.
template <typename V>
class PlainCopies {
 public:
  __device__ __forceinline__ PlainCopies(const TiledGemm& gemm, const OperandMaps& maps, const Tile& tile)
      : gemm_(gemm), maps_(maps), tile_(tile), input_((V::kInParts ? tile.part * gemm.stages : 0) * kInputs) {}
  __device__ __forceinline__ void next(const Pipeline<V>& pipeline) {
    uint8_t* to = pipeline.stage();
    uint64_t* const full = &pipeline.ring.full[pipeline.next.stage];
    const int octets = V::kRows / (gemm_.p.first ? 16 : 8);  // of a tile, on the map's fourth axis
    const int boxes = (tile_.n + V::kBoxTokens - 1) / V::kBoxTokens;
    barrier_expect(full, static_cast<uint32_t>(V::kWeightBytes + boxes * V::kBoxTokens * kRowBytes));
    if constexpr (V::kWeightsOnce) {
      copy_tensor_5d(to, &maps_.weights, full, input_, 0, 0, tile_.row_tile * octets, tile_.expert, read_once());
    } else {
      copy_tensor_5d(to, &maps_.weights, full, input_, 0, 0, tile_.row_tile * octets, tile_.expert);
    }
    to += V::kWeightBytes;
    for (int b = 0; b < boxes; ++b) {
      const int row = gemm_.p.sorted ? tile_.begin + b * V::kBoxTokens : 0;
      copy_tensor_2d(to + b * V::kBoxTokens * kRowBytes, &maps_.tokens, full, input_, row);
    }
    input_ += kInputs;
  }

 private:
  const TiledGemm& gemm_;
  const OperandMaps& maps_;
  const Tile& tile_;
  int input_;
};
template <typename V>
using TileCopies = std::conditional_t<V::kPacked, PackedCopies<V>, PlainCopies<V>>;

// Maps a column to the tile's pair. Unsorted inputs: columns are the step's tokens, and a bit mask has those of the
// tile.
struct Columns {
  bool sorted = true;
  unsigned tokens = 0;
  // A lane's bit, loaded before the GEMM.
  __device__ __forceinline__ static unsigned token_of_lane(const ExpertGemm& p, const Tile& tile) {
    const int lane = threadIdx.x % kWarp;
    if (p.sorted || lane >= tile.n) return 0;
    return 1u << static_cast<unsigned>(p.groups.pairs[tile.begin + lane]) / static_cast<unsigned>(p.top_k);
  }
  // tile.n: not one of the tile's.
  __device__ __forceinline__ int pair(const Tile& tile, int column) const {
    if (sorted) return min(column, tile.n);
    const unsigned bit = 1u << column;
    return (tokens & bit) != 0 ? __popc(tokens & (bit - 1)) : tile.n;
  }
};

// Transposes one element of two tokens into two elements of one token, between lanes four apart.
__device__ __forceinline__ float2 pair_up(float of_a, float of_b, bool odd) {
  const float other = __shfl_xor_sync(kAllLanes, odd ? of_a : of_b, 4);
  return odd ? make_float2(other, of_b) : make_float2(of_a, other);
}

// Two 2-byte elements; f16 saturates.
template <bool kHalf>
__device__ __forceinline__ uint32_t two_elements(float2 v) {
  if constexpr (kHalf) {
    constexpr float kMost = 65504.0f;
    const __half2 pair = __floats2half2_rn(fminf(fmaxf(v.x, -kMost), kMost), fminf(fmaxf(v.y, -kMost), kMost));
    return *reinterpret_cast<const uint32_t*>(&pair);
  } else {
    const __nv_bfloat162 pair = __floats2bfloat162_rn(v.x, v.y);
    return *reinterpret_cast<const uint32_t*>(&pair);
  }
}

// silu(gate) * up in few instructions, within 2 ulp: a tile ends with thousands of them while no GEMM runs.
__device__ __forceinline__ float silu_value(float gate, float up) {
  return __fdividef(gate, 1.0f + __expf(-gate)) * up;
}

// The general epilogue: biases, weights on the input, other activations.
__device__ __forceinline__ float any_value(const ExpertGemm& p, const Tile& tile, int64_t index, int pair,
                                           float2 gate_up) {
  float gate = gate_up.x, up = gate_up.y;
  if (p.input_weights != nullptr) {
    const float factor = p.input_weights[p.groups.pairs[tile.begin + pair]];
    gate *= factor, up *= factor;
  }
  if (p.bias != nullptr) {
    const float* bias = p.bias + tile.expert * p.w.rows + index;
    gate += bias[0], up += bias[p.w.rows / 2];
  }
  return glu_value(p.glu, gate, up);
}

// A lane's place in the tile's result: weight row and first of two token columns.
struct Spot {
  int64_t row;
  int column;
};

// A gate and its up for two tokens: row `at.row` of both halves.
template <End kEnd, bool kHalf>
__device__ __forceinline__ void finish_first(const ExpertGemm& p, const Tile& tile, const Columns& columns, Spot at,
                                             const float* d) {
  const bool odd = threadIdx.x % kWarp / 4 % 2 == 1;
  const int64_t intermediate = p.w.rows / 2;
  float value[2];
#pragma unroll
  for (int t = 0; t < 2; ++t) {
    if constexpr (kEnd == End::kSilu) {
      value[t] = silu_value(d[t], d[t + 2]);
    } else {
      const int pair = columns.pair(tile, at.column + t);
      const bool there = pair < tile.n && at.row < intermediate;
      value[t] = there ? any_value(p, tile, at.row, pair, {d[t], d[t + 2]}) : 0.0f;
    }
  }
  const float2 two = pair_up(value[0], value[1], odd);
  const int pair = columns.pair(tile, at.column + odd);
  const int64_t row = tile.begin + pair, col = at.row - odd;  // intermediate is even: eight rows are all there or not
  if (pair < tile.n && col < intermediate) {
    *reinterpret_cast<uint32_t*>(static_cast<uint16_t*>(p.y.data) + row * p.y.stride + col) = two_elements<kHalf>(two);
  }
}

template <bool kInParts>
__device__ __forceinline__ void finish_second(const ExpertGemm& p, const Tile& tile, Spot at, float of_a, float of_b) {
  const bool odd = threadIdx.x % kWarp / 4 % 2 == 1;
  if (p.bias != nullptr && (!kInParts || tile.part == 0) && at.row < p.w.rows) {
    const float bias = p.bias[tile.expert * p.w.rows + at.row];
    of_a += bias, of_b += bias;
  }
  const float2 two = pair_up(of_a, of_b, odd);
  const int64_t col = at.row - odd;
  if (at.column + odd >= tile.n || col >= p.w.rows) return;
  const int64_t pair = p.groups.pairs[tile.begin + at.column + odd], row = kInParts ? pair * p.parts + tile.part : pair;
  *reinterpret_cast<float2*>(static_cast<float*>(p.y.data) + row * p.y.stride + col) = two;
}

template <typename V, End kEnd, bool kHalf, int kColumns>
__device__ __forceinline__ void finish(const ExpertGemm& p, const Tile& tile, const Columns& columns,
                                       const float (&d)[kColumns / 2], int group) {
  const int lane = threadIdx.x % kWarp, slab = group * 4 + static_cast<int>(threadIdx.x) % kGroupThreads / kWarp;
  const int64_t first_row = static_cast<int64_t>(tile.row_tile) * V::kRows;
  const int64_t index = first_row / 2 + slab * 8 + lane / 4, output = first_row + slab * 16 + lane / 4;
#pragma unroll
  for (int j = 0; j < kColumns / 8; ++j) {
    const int column = 8 * j + 2 * (lane % 4);
    if (8 * j >= tile.n) break;
    if constexpr (kEnd != End::kOutput) {
      finish_first<kEnd, kHalf>(p, tile, columns, {index, column}, &d[4 * j]);
    } else {
      finish_second<V::kInParts>(p, tile, {output, column}, d[4 * j], d[4 * j + 1]);
      finish_second<V::kInParts>(p, tile, {output + 8, column}, d[4 * j + 2], d[4 * j + 3]);
    }
  }
}

// The sums of one tile, with kColumns columns for its tokens, by one warpgroup.
template <typename V, bool kHalf, int kSums>
__device__ __forceinline__ void accumulate(const TiledGemm& gemm, const Tile& tile, Pipeline<V>& pipeline, int group,
                                           float (&d)[kSums]) {
#pragma unroll
  for (int i = 0; i < kSums; ++i) d[i] = 0;
  Place read = pipeline.next;  // its wgmma may still run
  for (int s = 0, stages_here = stages_of<V>(gemm, tile); s < stages_here; ++s) {
    pipeline.wait_full();
    const uint8_t* from = pipeline.stage();
    const uint64_t weights = matrix_descriptor(from + group * kGroupRows * kRowBytes),
                   tokens = matrix_descriptor(from + V::kWeightBytes);
    wgmma_fence();
#pragma unroll
    for (int k = 0; k < kInputs / 16; ++k) {  // 32 bytes on
      if constexpr (kHalf) {
        wgmma_f16(d, weights + 2 * k, tokens + 2 * k);
      } else {
        wgmma_bf16(d, weights + 2 * k, tokens + 2 * k);
      }
    }
    wgmma_commit();
    if (s > 0) {
      wgmma_wait<1>();
      if (threadIdx.x % kGroupThreads == 0) barrier_arrive(&pipeline.ring.empty[read.stage]);
      read.advance<V>();
    }
    pipeline.advance();
  }
  wgmma_wait<0>();
  if (threadIdx.x % kGroupThreads == 0) barrier_arrive(&pipeline.ring.empty[read.stage]);
}

// The same with cells of kind C and few tokens: each warp multiplies its own slabs.
template <class C, typename V, int kSums>
__device__ __forceinline__ void accumulate_few(const TiledGemm& gemm, const Tile& tile, Pipeline<V>& pipeline,
                                               float (&d)[V::kSlabsAWarp][kSums]) {
  constexpr int kSlabs = V::kSlabsAWarp, kChains = kSlabs * kSums == 4 ? 2 : 1;  // of steps that wait for each other
  float other[kSlabs][kSums] = {};
#pragma unroll
  for (int i = 0; i < kSlabs * kSums; ++i) d[i / kSums][i % kSums] = 0;
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
  int left = gemm.cells - tile.part * gemm.stages * V::kStageCells;
  for (int s = 0, stages_here = stages_of<V>(gemm, tile); s < stages_here; ++s, left -= V::kStageCells) {
    pipeline.wait_full();
    const uint8_t* const from = pipeline.stage();
    const uint32_t tokens = shared_place(from + V::kWeightBytes);
    typename C::Words words[V::kStageCells][kSlabs];
    const auto load = [&](int cell) {
#pragma unroll
      for (int i = 0; i < kSlabs; ++i) {
        words[cell][i] = C::load(from + (i * V::kWarps + warp) * V::kSlabBytes + cell * C::kBytes);
      }
    };
#pragma unroll
    for (int i = 0; i < V::kStageCells; ++i) {
      if (kSlabs == 1) load(i);
    }
#pragma unroll
    for (int i = 0; i < V::kStageCells; ++i) {
      if (i > 0 && i >= left) continue;
      if (kSlabs > 1) load(i);  // all at once take too many registers
      multiply_cell_now<C>(words[i], tokens + i * V::kCellTokenBytes, d, kChains > 1 ? other : d);
    }
    __syncwarp();
    if (threadIdx.x % kWarp == 0) barrier_arrive(&pipeline.ring.empty[pipeline.next.stage]);
    pipeline.advance();
  }
#pragma unroll
  for (int slab = 0; slab < kSlabs; ++slab) {
#pragma unroll
    for (int i = 0; kChains > 1 && i < kSums; ++i) d[slab][i] += other[slab][i];
    finish_sums<C>(d[slab]);
  }
}

template <typename V, End kEnd, bool kHalf, int kColumns>
__device__ __forceinline__ void multiply(const TiledGemm& gemm, const Tile& tile, Pipeline<V>& pipeline, int group) {
  constexpr bool kUnsorted = kEnd != End::kOutput && V::kInParts && kColumns == kUnsortedTokensMax;
  const unsigned token = kUnsorted ? Columns::token_of_lane(gemm.p, tile) : 0;
  const auto columns = [&] {
    return kUnsorted ? Columns{gemm.p.sorted, __reduce_or_sync(kAllLanes, token)} : Columns{};
  };
  if constexpr (!V::kPacked) {
    float d[kColumns / 2];
    accumulate<V, kHalf>(gemm, tile, pipeline, group, d);
    finish<V, kEnd, kHalf, kColumns>(gemm.p, tile, columns(), d, group);
  } else {
    using C = std::conditional_t<kEnd == End::kOutput, typename V::Second, typename V::First>;
    float d[V::kSlabsAWarp][kColumns / 2];
    accumulate_few<C>(gemm, tile, pipeline, d);
    const Columns of_tile = columns();
#pragma unroll
    for (int i = 0; i < V::kSlabsAWarp; ++i) finish<V, kEnd, kHalf, kColumns>(gemm.p, tile, of_tile, d[i], i);
  }
}

// One tile, by one warpgroup.
template <typename V, End kEnd, bool kHalf>
__device__ __forceinline__ void multiply_tile(const TiledGemm& gemm, const Tile& tile, Pipeline<V>& pipeline,
                                              int group) {
  static_assert(V::kTokens <= 64);
  if (tile.n <= 8) return multiply<V, kEnd, kHalf, 8>(gemm, tile, pipeline, group);
  if constexpr (V::kTokens > 32) {
    if (tile.n > 32) return multiply<V, kEnd, kHalf, 64>(gemm, tile, pipeline, group);
  }
  if constexpr (V::kTokens > 16) {
    if (tile.n > 16) return multiply<V, kEnd, kHalf, 32>(gemm, tile, pipeline, group);
  }
  multiply<V, kEnd, kHalf, 16>(gemm, tile, pipeline, group);
}

// --- on the host ---

// Splits a GEMM into tiles and encodes its operands' maps. False: the driver refuses.
template <typename V>
bool cut_in_tiles(const ExpertGemm& p, TiledGemm* gemm, OperandMaps* maps) {
  const uint64_t inputs = static_cast<uint64_t>(p.w.cols), row_bytes = static_cast<uint64_t>(p.w.stride) * 2;
  const uint64_t halves = p.first ? 2 : 1, rows = static_cast<uint64_t>(p.w.rows) / halves;
  const MapAxis of_weights[] = {{inputs, 0, kInputs},
                                {8, row_bytes, 8},
                                {halves, rows * row_bytes, static_cast<uint32_t>(halves)},
                                {rows / 8, 8 * row_bytes, static_cast<uint32_t>(V::kRows / 8 / halves)},
                                {static_cast<uint64_t>(p.w.groups), halves * rows * row_bytes, 1}};
  const MapAxis of_tokens[] = {{inputs, 0, kInputs},
                               {static_cast<uint64_t>(p.x.rows), static_cast<uint64_t>(p.x.stride) * 2, V::kBoxTokens}};
  gemm->p = p;
  const CellGrid grid = p.w.grid();
  gemm->slabs = static_cast<int>(grid.slabs), gemm->cells = static_cast<int>(grid.cells);
  gemm->row_tiles = static_cast<int>(ceil_div(V::kPacked ? grid.slabs * kCellRows : p.w.rows, V::kRows)) * p.parts;
  gemm->all_stages = static_cast<int>(ceil_div(p.w.cols, V::kStageInputs));
  gemm->stages = static_cast<int>(ceil_div(gemm->all_stages, p.parts));
  const bool bf16 = p.w.type == Type::kBf16;
  return (V::kPacked || encode_tensor_map(p.w.data, of_weights, 5, bf16, &maps->weights)) &&
         encode_tensor_map(p.x.data, of_tokens, 2, bf16, &maps->tokens);
}

// End::kSilu covers it.
inline bool ends_plain(const ExpertGemm& first) {
  return first.glu.kind == GluKind::kSilu && first.bias == nullptr && first.input_weights == nullptr;
}

// Upper bound of token tiles.
template <typename V>
int64_t token_tiles_most(const Groups& groups) {
  return groups.n_pairs / V::kTokens + min(groups.n_pairs, static_cast<int64_t>(groups.n_experts));
}

}  // namespace polymath::backend::cuda
