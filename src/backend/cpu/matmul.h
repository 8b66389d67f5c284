#pragma once

// GEMMs of packed rows and panels, and the three ops made of nothing else.

#include "backend/cpu/context.h"
#include "backend/cpu/panels.h"

namespace polymath::backend::cpu {

// Cuts a segment's rows into equal blocks of at most rows_max.
struct RowBlocks {
  RowBlocks(int rows, int rows_max) : n((rows + rows_max - 1) / rows_max), base(rows / n), longer(rows % n) {}
  int begin(int i) const { return i * base + (i < longer ? i : longer); }
  int size(int i) const { return base + (i < longer ? 1 : 0); }

  int n, base, longer;
};

// One tile of weights for all rows of a segment.
struct TileJob {
  const Panels* panels = nullptr;
  const std::byte* w = nullptr;
  const uint32_t* a = nullptr;  // the segment's first packed row
  int rows = 0;
  const std::byte* next = nullptr;  // what this thread most likely reads next, or null
  float* sums = nullptr;            // [rows][sums_stride], of which 32 are the tile's
  int sums_stride = kTile;
};
void multiply_tile(const TileJob& job);
// A tile's blocks [begin, begin + run_blocks()) or up to the last one. Adds to the sums unless begin is 0.
void multiply_run(const TileJob& job, int64_t begin);
inline int64_t run_blocks(const WeightKernels& weights) { return weights.run_steps / weights.block_steps; }

// Gives the rows to pack: row i of segment s.
class RowSource {
 public:
  virtual ~RowSource() = default;
  virtual const void* row(const Segment& s, int i) const = 0;
};

struct PackJob {
  std::span<const Segment> segments;
  const RowSource* source = nullptr;
  DType from = DType::kF32;
  int64_t cols = 0;
  int64_t steps = 0;
  const WeightKernels* layout = nullptr;
  uint32_t* out = nullptr;
};
// Packs this thread's share of the blocks.
void pack_rows(const Kernels& kernels, const PackJob& job, int rank, int threads);

// Cuts `whole`, of any number of rows, into segments. Writes them from scratch.segments[n] on; returns the new n.
int64_t add_segments(Scratch& scratch, int64_t n, const Segment& whole);

void linear(Context& context, const Tensor& x, const Weight& w, const LinearEpilogue& epilogue, const Tensor& y);

// Strides: columns from one group to the next, as in Backend::batched_linear.
struct BatchedLinear {
  const Weight* w = nullptr;
  int64_t x_stride = 0, y_stride = 0;
};
void batched_linear(Context& context, const BatchedLinear& params, const Tensor& x, const Tensor& y);

void grouped_linear(Context& context, const GroupedLinear& params, const Tensor& x, const Tensor& y);

}  // namespace polymath::backend::cpu
