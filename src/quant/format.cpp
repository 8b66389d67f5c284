#include "quant/format.h"

namespace polymath::quant {
namespace {

const std::byte* param_at(const ParamSpec& spec, const std::byte* first, int64_t block_row, int64_t stride) {
  if (!spec.present()) return nullptr;
  return first + block_row * (spec.transposed ? 1 : stride) * static_cast<int64_t>(tensor::dtype_bytes(spec.dtype));
}

}  // namespace

const QuantFormat* find_format(std::string_view name) {
  for (const QuantFormat* f : quant_formats()) {
    if (f->name == name) return f;
  }
  return nullptr;
}

const QuantFormat* find_plain_format(tensor::DType dtype) {
  for (const QuantFormat* f : quant_formats()) {
    if (f->plain() && f->dtype == dtype) return f;
  }
  return nullptr;
}

const QuantFormat& plain_format(tensor::DType dtype) {
  const QuantFormat* format = find_plain_format(dtype);
  CHECK(format != nullptr && "not a plain element type");
  return *format;
}

PackedRow MatrixView::row(int64_t r) const {
  CHECK(col_stride == 1);
  const int64_t block_row = r / format->block_rows;
  return {data + format->bytes_of(r * row_stride), param_at(format->scales, scales, block_row, param_stride),
          param_at(format->zeros, zeros, block_row, param_stride), format->scales.transposed ? param_stride : 1};
}

void MatrixView::read_row(int64_t r, int64_t begin, int64_t n, float* out) const {
  if (col_stride == 1) return format->dequantize(row(r), begin, out, n);
  CHECK(format->plain());
  const std::byte* at = data + (r * row_stride + begin * col_stride) * format->block_bytes;
  for (int64_t i = 0; i < n; ++i) format->dequantize({at + i * col_stride * format->block_bytes}, 0, out + i, 1);
}

}  // namespace polymath::quant
