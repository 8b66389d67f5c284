#include "commands/quantize/observed_backend.h"

#include "quant/format.h"

namespace polymath::commands {

absl::Status ObservedBackend::reserve(const backend::StepLimits& limits) {
  RETURN_IF_ERROR(inner_.reserve(limits));
  return reserve_defaults(limits);
}

void ObservedBackend::fill_weight(quant::Weight& weight, int64_t group, int64_t row_begin,
                                  const quant::MatrixView& view) {
  on_fill_({weight.data.data(), group}, view.data);
  inner_.fill_weight(weight, group, row_begin, view);
}

// One input of a matrix.
void ObservedBackend::add(const quant::Weight& w, int64_t group, const Tensor& x, int64_t row, int64_t col_begin) {
  InputSquares& to = squares_[{w.data.data(), group}];
  to.sums.resize(static_cast<size_t>(w.shape.cols));
  ++to.rows;
  const Tensor input = x.slice_rows(row, 1).slice_cols(col_begin, w.shape.cols);
  std::vector<float> values(to.sums.size());
  quant::plain_format(x.dtype).dequantize({static_cast<const std::byte*>(input.data)}, 0, values.data(), w.shape.cols);
  for (size_t i = 0; i < values.size(); ++i) to.sums[i] += static_cast<double>(values[i]) * values[i];
}

void ObservedBackend::linear(const Tensor& x, const quant::Weight& w, const backend::LinearEpilogue& epilogue,
                             const Tensor& y) {
  for (int64_t row = 0; row < x.rows(); ++row) add(w, 0, x, row, 0);
  inner_.linear(x, w, epilogue, y);
}

void ObservedBackend::batched_linear(const Tensor& x, int64_t x_stride, const quant::Weight& w, int64_t y_stride,
                                     const Tensor& y) {
  for (int64_t group = 0; group < w.shape.groups; ++group) {
    for (int64_t row = 0; row < x.rows(); ++row) add(w, group, x, row, group * x_stride);
  }
  inner_.batched_linear(x, x_stride, w, y_stride, y);
}

void ObservedBackend::grouped_linear(const backend::GroupedLinear& p, const Tensor& x, const Tensor& y) {
  const int32_t *offsets = p.groups->offsets.i32(), *pairs = p.groups->pairs.i32();
  for (int64_t group = 0; group < p.w->shape.groups; ++group) {
    for (int64_t at = offsets[group]; at < offsets[group + 1]; ++at)
      add(*p.w, group, x, p.gather ? pairs[at] / p.top_k : at, 0);
  }
  inner_.grouped_linear(p, x, y);
}

}  // namespace polymath::commands
