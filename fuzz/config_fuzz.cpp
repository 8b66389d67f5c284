// Fuzzes config.json -> ModelConfig -> slots. The result is a status, or a config within bounds.

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/check.h"
#include "model/architecture.h"
#include "model/loading/load.h"
#include "model/slots.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto json = polymath::base::parse_json({reinterpret_cast<const char*>(data), size},
                                               {.bytes_max = 1u << 20, .non_finite = true});
  if (!json.ok()) return 0;
  const auto config = polymath::model::parse_config(*json);
  if (!config.ok() || config->layers.size() > 64) return 0;
  for (const auto& slot : polymath::model::slots(*config)) {
    CHECK(slot.shape.rows > 0 && slot.shape.cols > 0 && slot.shape.groups > 0);
  }
  return 0;
}
