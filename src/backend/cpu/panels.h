#pragma once

// A weight's layout in memory: groups of tiles of 32 outputs. A tile is a run of blocks. Each format has its own block:
//
//   bf16: a block is two inputs  [2 panels][16 outputs][2 inputs]   128 bytes; with AMX 32 inputs, see amx_tile.h
//   f32:  one                    [2][16]                            128
//   f16:  one                    [2][16]                             64
//   packed formats: kernels/formats/<format>.h
//
// Zeros pad outputs to whole tiles and inputs to whole steps. In a weight with glu, tile t's first panel is gate's
// outputs [16t, 16t + 16). Its second panel is up's. So one tile has both inputs of the activation.

#include "backend/cpu/kernels/kernels.h"

namespace polymath::backend::cpu {

struct Panels {
  // `inputs`: the type of the activations that it is multiplied with. The layout is the same for all.
  Panels(const Kernels& kernels, const Weight& w, DType inputs = DType::kF32)
      : Panels(kernels, w.shape, *w.format, inputs) {
    data = static_cast<std::byte*>(w.data.data());
  }
  Panels(const Kernels& kernels, const WeightShape& shape, const quant::QuantFormat& format,
         DType inputs = DType::kF32);

  const std::byte* tile(int64_t group, int64_t t) const { return data + group * group_bytes + t * tile_bytes; }
  TileColumns columns(int64_t t) const;
  // An output's tile, and its lane there.
  struct Place {
    std::byte* tile;
    int lane;
  };
  Place place(int64_t group, int64_t row) const;
  std::byte* block_of(const Place& at, int64_t input) const {
    return at.tile + input / kernels.inputs() * kernels.block_bytes;
  }
  size_t bytes() const { return static_cast<size_t>(shape.groups * group_bytes); }

  const WeightKernels& kernels;
  WeightShape shape;
  int64_t steps;  // of an activation row: its packed words
  int64_t blocks, tiles, tile_bytes, group_bytes;
  std::byte* data = nullptr;
};

// Writes view rows [begin, begin + n) to rows [row_begin + begin, ...) of a group.
struct FillArgs {
  const quant::MatrixView* view = nullptr;
  int64_t group = 0;
  int64_t row_begin = 0;
  int64_t begin = 0;
  int64_t n = 0;
};
void fill_panels(const Panels& panels, const FillArgs& args);

// y[y_row] = scale * the inputs of output `row` of group 0.
void read_panel_row(const Panels& panels, int64_t row, float scale, const Tensor& y, int64_t y_row);

}  // namespace polymath::backend::cpu
