// Fuzzes the command line's JSON: --lora-modules (first byte even) and --speculative-config (odd).

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "commands/adapters.h"
#include "commands/speculation.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  if (data[0] % 2 == 0) {
    const auto module = polymath::commands::parse_adapter(text);
    if (module.ok() && (module->name.empty() || module->path.empty())) std::abort();
    return 0;
  }
  const auto options = polymath::commands::parse_speculation(text);
  if (!options.ok()) return 0;
  if (options->n_draft_max < 1 || options->n_draft_max > polymath::engine::kDraftTokensMax) std::abort();
  if (options->lookup_min < 1 || options->lookup_min > options->lookup_max) std::abort();
  return 0;
}
