// Fuzzes quantised checkpoints: a line of quantization_config, then a safetensors file. What is accepted can be read
// whole, and unpacked.

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "base/check.h"
#include "weights/safetensors.h"
#include "weights/schemes/scheme.h"

namespace {

using namespace polymath;

constexpr int64_t kUnpackedMax = 1 << 16;  // values of a weight that is read

void read_weights(weights::Checkpoint& checkpoint) {
  std::vector<float> values;
  for (const weights::TensorInfo& info : checkpoint.tensors()) {
    CHECK(checkpoint.has(info.name));
    if (info.format == nullptr || info.shape.elements() > kUnpackedMax) continue;
    const auto t = checkpoint.read(info.name, info.shape);
    CHECK(t.ok() || !t.status().message().empty());
    if (!t.ok()) continue;
    CHECK(t->format == info.format && info.shape.elements() % t->format->block_cols == 0);
    values.resize(static_cast<size_t>(info.shape.elements()));
    t->format->dequantize({t->data}, 0, values.data(), info.shape.elements());
    checkpoint.release(info.name);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const size_t line = input.find('\n');
  if (line == input.npos) return 0;
  const auto json = base::parse_json(input.substr(0, line), {.depth_max = 16, .bytes_max = 1u << 16});
  if (!json.ok()) return 0;
  const auto scheme = weights::parse_scheme(*json);
  CHECK(scheme.ok() || !scheme.status().message().empty());
  if (!scheme.ok()) return 0;
  auto stored = weights::parse_stored(std::as_bytes(std::span(data + line + 1, size - line - 1)), {});
  if (!stored.ok()) return 0;
  const auto checkpoint = weights::open_quantized(*std::move(stored), *scheme);
  CHECK(checkpoint.ok() || !checkpoint.status().message().empty());
  if (checkpoint.ok()) read_weights(**checkpoint);
  return 0;
}
