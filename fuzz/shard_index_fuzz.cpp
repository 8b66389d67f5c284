// Fuzzes model.safetensors.index.json -> files to open. No path leaves the model's directory.

#include <cstddef>
#include <cstdint>
#include <string>

#include "base/check.h"
#include "weights/directory.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto json = polymath::base::parse_json({reinterpret_cast<const char*>(data), size}, {.bytes_max = 1u << 20});
  if (!json.ok()) return 0;
  const auto files = polymath::weights::parse_index(*json, "/model", {"a.safetensors", "b.safetensors"}, {});
  if (!files.ok()) return 0;
  for (const auto& [tensor, path] : files->index) {
    CHECK(path == "/model/a.safetensors" || path == "/model/b.safetensors");
  }
  CHECK(!files->paths.empty() && files->paths.size() <= 2);
  return 0;
}
