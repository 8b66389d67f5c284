#pragma once

// How a weight stands in memory: groups of tiles of 32 outputs; in a tile, step by step, two panels of 16 outputs.
//
//   bf16: a step is two inputs  [2 panels][16 outputs][2 inputs]   128 bytes
//   f32:  one                   [2][16]                            128
//   f16:  one                   [2][16]                             64
//
// Outputs are padded to whole tiles and inputs to whole steps with zeros. In a weight with glu the first panel of
// tile t is gate's outputs [16t, 16t + 16) and the second is up's, so that one tile has both ends of the activation.

#include "backend/cpu/kernels/kernels.h"

namespace polymath::backend::cpu {

struct Panels {
  explicit Panels(const Weight& w) : Panels(w.shape, w.format->dtype) { data = static_cast<std::byte*>(w.data.data()); }
  Panels(const WeightShape& shape, DType dtype);

  const std::byte* tile(int64_t group, int64_t t) const { return data + group * group_bytes + t * tile_bytes; }
  TileColumns columns(int64_t t) const;
  // The first step of output `row`: later ones are step_bytes apart.
  std::byte* row(int64_t group, int64_t row) const;
  size_t bytes() const { return static_cast<size_t>(shape.groups * group_bytes); }

  WeightShape shape;
  DType dtype;
  bool pairs;  // a step is two inputs
  int word_bytes;
  int64_t steps, tiles, step_bytes, tile_bytes, group_bytes;
  std::byte* data = nullptr;
};

// Puts view rows [begin, begin + n) at rows [row_begin + begin, ...) of a group.
struct FillArgs {
  const quant::MatrixView* view = nullptr;
  int64_t group = 0;
  int64_t row_begin = 0;
  int64_t begin = 0;
  int64_t n = 0;
};
void fill_panels(const Panels& panels, const FillArgs& args);

// Inputs of one output, as floats.
void read_panel_row(const Panels& panels, int64_t row, float scale, const Tensor& y, int64_t y_row);

}  // namespace polymath::backend::cpu
