#include "quant/format.h"

namespace polymath::quant {

const QuantFormat* find_format(std::string_view name) {
  for (const QuantFormat* f : quant_formats()) {
    if (f->name == name) return f;
  }
  return nullptr;
}

const QuantFormat& plain_format(tensor::DType dtype) {
  for (const QuantFormat* f : quant_formats()) {
    if (f->dtype == dtype && f->block_cols == 1) return *f;
  }
  CHECK(false && "not a plain element type");
  return kF32;
}

void MatrixView::read_row(int64_t r, int64_t begin, int64_t n, float* out) const {
  const std::byte* at = data + (r * row_stride + begin * col_stride) / format->block_cols * format->block_bytes;
  if (col_stride == 1) return format->dequantize(at, out, n);
  CHECK(format->block_cols == 1);
  for (int64_t i = 0; i < n; ++i) format->dequantize(at + i * col_stride * format->block_bytes, out + i, 1);
}

}  // namespace polymath::quant
