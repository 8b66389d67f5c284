#include "backend/cpu/panels.h"

#include <algorithm>
#include <cstring>

namespace polymath::backend::cpu {
namespace {

constexpr int64_t kRun = 512;      // inputs packed at a time: a tile's worth of them stays in the L1 cache
constexpr int kValueBytesMax = 4;  // of an element; a wider one is a CHECK

// Inputs [begin, begin + n) of a row; n <= kRun.
struct InputRun {
  int64_t row, begin, n;
};

// A run in the panels' format: the view's own bytes, or values converted into `buffer`.
const std::byte* read_inputs(const Panels& panels, const quant::MatrixView& view, const InputRun& run,
                             std::byte* buffer) {
  const quant::QuantFormat& format = *panels.kernels.format;
  if (view.format == &format && view.col_stride == 1) return view.row(run.row).data + format.bytes_of(run.begin);
  CHECK(format.plain());
  float values[kRun];
  view.read_row(run.row, run.begin, run.n, values);
  format.quantize(values, buffer, run.n);
  return buffer;
}

}  // namespace

Panels::Panels(const Kernels& all, const WeightShape& s, const quant::QuantFormat& format, DType inputs)
    : kernels(all.weights_of(format, inputs)), shape(s) {
  CHECK(s.cols % format.block_cols == 0 && kRun % format.block_cols == 0 && !format.params());
  steps = kernels.packed_steps(s.cols);
  blocks = (steps + kernels.block_steps - 1) / kernels.block_steps;
  tiles = s.glu ? (s.rows / 2 + kPanel - 1) / kPanel : (s.rows + kTile - 1) / kTile;
  tile_bytes = blocks * kernels.block_bytes;
  group_bytes = tiles * tile_bytes;
}

TileColumns Panels::columns(int64_t t) const {
  const auto whole = [](int64_t n) { return static_cast<int>(std::clamp<int64_t>(n, 0, kPanel)); };
  if (shape.glu) {
    const int64_t intermediate = shape.rows / 2, first = t * kPanel;
    return {{first, intermediate + first}, {whole(intermediate - first), whole(intermediate - first)}};
  }
  const int64_t first = t * kTile;
  return {{first, first + kPanel}, {whole(shape.rows - first), whole(shape.rows - first - kPanel)}};
}

Panels::Place Panels::place(int64_t group, int64_t row) const {
  int64_t tile_index = row / kTile, lane = row % kTile;
  if (shape.glu) {
    const int64_t half = row >= shape.rows / 2 ? 1 : 0, within = row - half * (shape.rows / 2);
    tile_index = within / kPanel;
    lane = half * kPanel + within % kPanel;
  }
  return {data + group * group_bytes + tile_index * tile_bytes, static_cast<int>(lane)};
}

void fill_panels(const Panels& panels, const FillArgs& t) {
  alignas(64) std::byte buffer[kRun * kValueBytesMax];
  for (int64_t begin = 0; begin < panels.shape.cols; begin += kRun) {
    const int64_t n = std::min(kRun, panels.shape.cols - begin);
    for (int64_t r = t.begin; r < t.begin + t.n; ++r) {
      const Panels::Place at = panels.place(t.group, t.row_begin + r);
      const std::byte* inputs = read_inputs(panels, *t.view, {r, begin, n}, buffer);
      panels.kernels.scatter(inputs, n, at.lane, panels.block_of(at, begin));
    }
  }
}

void read_panel_row(const Panels& panels, int64_t row, float scale, const Tensor& y, int64_t y_row) {
  alignas(64) std::byte buffer[kRun * kValueBytesMax];
  float values[kRun];
  const Panels::Place at = panels.place(0, row);
  for (int64_t begin = 0; begin < panels.shape.cols; begin += kRun) {
    const int64_t n = std::min(kRun, panels.shape.cols - begin), to = y_row * y.stride() + begin;
    panels.kernels.gather(panels.block_of(at, begin), n, at.lane, buffer);
    panels.kernels.format->dequantize({buffer}, 0, values, n);
    for (int64_t c = 0; c < n; ++c) {
      if (y.dtype == DType::kF32) {
        y.as<float>()[to + c] = scale * values[c];
      } else {
        y.u16()[to + c] = tensor::f32_to_bf16(scale * values[c]);
      }
    }
  }
}

}  // namespace polymath::backend::cpu
