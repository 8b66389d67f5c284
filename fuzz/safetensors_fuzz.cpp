// Fuzzes safetensors files. Every tensor of an accepted file is read whole.

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/check.h"
#include "weights/checkpoint.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace polymath;
  const auto checkpoint = weights::parse_safetensors(std::as_bytes(std::span(data, size)), {});
  if (!checkpoint.ok()) {
    CHECK(!checkpoint.status().message().empty());
    return 0;
  }
  size_t bytes = 0;
  unsigned sum = 0;
  for (const weights::TensorInfo& info : (*checkpoint)->tensors()) {
    bytes += info.bytes;
    CHECK((*checkpoint)->has(info.name));
    const auto t = (*checkpoint)->read(info.name, info.shape);
    CHECK(t.ok() == (info.dtype != tensor::DType::kCount));
    if (!t.ok()) continue;
    CHECK(static_cast<size_t>(t->shape.elements()) * tensor::dtype_bytes(t->dtype) == info.bytes);
    for (size_t i = 0; i < info.bytes; ++i) sum += static_cast<unsigned>(t->data[i]);
  }
  CHECK(bytes <= size);
  volatile unsigned seen = sum;  // the reads must not be optimised away
  static_cast<void>(seen);
  return 0;
}
