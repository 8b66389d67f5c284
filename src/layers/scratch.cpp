#include "layers/step_context.h"

namespace polymath::layers {

absl::StatusOr<Scratch> Scratch::create(backend::Backend& backend, const Widths& widths, int64_t tokens_max) {
  Scratch s;
  for (size_t i = 0; i < widths.size(); ++i) {
    if (widths[i] == 0) continue;
    ASSIGN_OR_RETURN(s.parts_[i], backend.allocate(static_cast<size_t>(widths[i] * tokens_max) * sizeof(float)));
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
