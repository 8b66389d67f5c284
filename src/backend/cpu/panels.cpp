#include "backend/cpu/panels.h"

#include <algorithm>
#include <cstring>

namespace polymath::backend::cpu {
namespace {

constexpr int64_t kRun = 512;  // inputs packed at a time: a tile's worth of them stays in the first cache

// Inputs [begin, begin + n) of a row in the panels' own element type.
void read_inputs(const Panels& panels, const FillArgs& t, int64_t row, int64_t begin, int64_t n, std::byte* out) {
  const quant::MatrixView& view = *t.view;
  const size_t bytes = tensor::dtype_bytes(panels.dtype);
  if (view.format->block_cols == 1 && view.format->dtype == panels.dtype && view.col_stride == 1) {
    std::memcpy(out, view.data + (row * view.row_stride + begin) * static_cast<int64_t>(bytes), n * bytes);
    return;
  }
  float values[kRun];
  view.read_row(row, begin, n, values);
  quant::plain_format(panels.dtype).quantize(values, out, n);
}

template <typename Word>
void scatter(const std::byte* from, std::byte* to, int64_t words, int64_t step_bytes) {
  for (int64_t k = 0; k < words; ++k) std::memcpy(to + k * step_bytes, from + k * sizeof(Word), sizeof(Word));
}

}  // namespace

Panels::Panels(const WeightShape& s, DType d)
    : shape(s), dtype(d), pairs(d == DType::kBf16), word_bytes(d == DType::kF16 ? 2 : 4) {
  steps = pairs ? (s.cols + 1) / 2 : s.cols;
  tiles = s.glu ? (s.rows / 2 + kPanel - 1) / kPanel : (s.rows + kTile - 1) / kTile;
  step_bytes = kTile * word_bytes;
  tile_bytes = steps * step_bytes;
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

std::byte* Panels::row(int64_t group, int64_t r) const {
  int64_t tile_index = r / kTile, half = r / kPanel % 2, lane = r % kPanel;
  if (shape.glu) {
    half = r >= shape.rows / 2 ? 1 : 0;
    const int64_t within = r - half * (shape.rows / 2);
    tile_index = within / kPanel;
    lane = within % kPanel;
  }
  return data + group * group_bytes + tile_index * tile_bytes + (half * kPanel + lane) * word_bytes;
}

void fill_panels(const Panels& panels, const FillArgs& t) {
  alignas(64) std::byte values[kRun * 4];
  const int64_t run_steps = panels.pairs ? kRun / 2 : kRun;
  for (int64_t begin = 0; begin < panels.shape.cols; begin += kRun) {
    const int64_t n = std::min(kRun, panels.shape.cols - begin);
    const int64_t words = panels.pairs ? (n + 1) / 2 : n;
    for (int64_t r = t.begin; r < t.begin + t.n; ++r) {
      std::memset(values + (words - 1) * panels.word_bytes, 0, panels.word_bytes);  // an odd input's missing neighbour
      read_inputs(panels, t, r, begin, n, values);
      std::byte* to = panels.row(t.group, t.row_begin + r) + begin / kRun * run_steps * panels.step_bytes;
      if (panels.word_bytes == 4) {
        scatter<uint32_t>(values, to, words, panels.step_bytes);
      } else {
        scatter<uint16_t>(values, to, words, panels.step_bytes);
      }
    }
  }
}

void read_panel_row(const Panels& panels, int64_t row, float scale, const Tensor& y, int64_t y_row) {
  const std::byte* at = panels.row(0, row);
  for (int64_t c = 0; c < panels.shape.cols; ++c) {
    const std::byte* word = at + (panels.pairs ? c / 2 : c) * panels.step_bytes + (panels.pairs ? c % 2 * 2 : 0);
    float v;
    if (panels.dtype == DType::kF32) {
      std::memcpy(&v, word, 4);
    } else {
      uint16_t half;
      std::memcpy(&half, word, 2);
      v = panels.dtype == DType::kBf16 ? tensor::bf16_to_f32(half) : tensor::f16_to_f32(half);
    }
    const int64_t to = y_row * y.stride() + c;
    if (y.dtype == DType::kF32) {
      y.as<float>()[to] = scale * v;
    } else {
      y.u16()[to] = tensor::f32_to_bf16(scale * v);
    }
  }
}

}  // namespace polymath::backend::cpu
