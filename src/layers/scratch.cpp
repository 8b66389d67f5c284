#include "layers/step_context.h"

namespace polymath::layers {

namespace {

size_t part_bytes(int64_t width, int64_t tokens_max) { return static_cast<size_t>(width * tokens_max) * sizeof(float); }

}  // namespace

size_t Scratch::bytes(const Widths& widths, int64_t tokens_max) {
  size_t bytes = 0;
  for (const int64_t width : widths) bytes += part_bytes(width, tokens_max);
  return bytes;
}

absl::StatusOr<Scratch> Scratch::create(backend::Backend& backend, const Widths& widths, int64_t tokens_max) {
  Scratch s;
  for (size_t i = 0; i < widths.size(); ++i) {
    if (widths[i] == 0) continue;
    ASSIGN_OR_RETURN(s.parts_[i], backend.allocate(part_bytes(widths[i], tokens_max)));
  }
  return s;
}

backend::Tensor Scratch::matrix(int part, backend::DType dtype, int64_t rows, int64_t cols) const {
  const backend::Buffer& buffer = parts_[static_cast<size_t>(part)];
  const backend::Tensor t{dtype, {rows, cols}, buffer.data()};
  CHECK(t.bytes() <= buffer.bytes());
  return t;
}

}  // namespace polymath::layers
