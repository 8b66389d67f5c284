// Any bytes as a GGUF file: refused with a sentence, or every tensor is readable to its last byte. Its config and
// tokenizer are read too.

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/check.h"
#include "text/gguf_tokenizer.h"
#include "weights/model_files.h"

namespace {

using namespace polymath;

constexpr int64_t kUnpackedMax = 1 << 16;  // values of a tensor

void read_tensors(weights::Checkpoint& checkpoint, size_t size) {
  size_t bytes = 0;
  unsigned sum = 0;
  std::vector<float> values;
  for (const weights::TensorInfo& info : checkpoint.tensors()) {
    bytes += info.bytes;
    CHECK(checkpoint.has(info.name));
    const auto t = checkpoint.read(info.name, info.shape);
    CHECK(t.ok() == (info.dtype != tensor::DType::kCount));
    if (!t.ok()) continue;
    for (size_t i = 0; i < info.bytes; ++i) sum += static_cast<unsigned>(t->data[i]);
    if (t->format == nullptr) continue;
    CHECK(static_cast<size_t>(t->format->bytes_of(t->shape.elements())) == info.bytes);
    if (t->shape.elements() > kUnpackedMax) continue;
    values.resize(static_cast<size_t>(t->shape.elements()));
    t->format->dequantize({t->data}, 0, values.data(), t->shape.elements());
  }
  CHECK(bytes <= size);
  volatile unsigned seen = sum;  // the reads must not be optimised away
  static_cast<void>(seen);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto files = weights::parse_gguf(std::as_bytes(std::span(data, size)), {});
  if (!files.ok()) {
    CHECK(!files.status().message().empty());
    return 0;
  }
  const auto checkpoint = (*files)->open_checkpoint();
  CHECK(checkpoint.ok());
  read_tensors(**checkpoint, size);
  const auto config = (*files)->config();
  CHECK(config.ok() || !config.status().message().empty());
  const base::JsonObject metadata = (*files)->tokenizer_source().metadata;
  const auto tokenizer = text::load_gguf_tokenizer(metadata, {.vocab_max = 4096, .token_bytes_max = 4096});
  if (tokenizer.ok()) (*tokenizer)->decode((*tokenizer)->encode("Hello, world! 12", true), false);
  return 0;
}
