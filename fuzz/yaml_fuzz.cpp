// Any text as manifests: what is read is written and read again, and checked.

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "commands/deploy/check/check.h"
#include "commands/deploy/yaml/yaml.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace polymath::commands;
  const std::string text(reinterpret_cast<const char*>(data), size);
  const auto documents = parse_yaml(text);
  if (!documents.ok()) return 0;
  for (const auto& document : *documents) {
    const auto again = parse_yaml(to_yaml(document));
    if (!again.ok() || (again->size() != 1 && !document.is_null())) std::abort();
  }
  if (!check_manifests({{"x", text}}, {}).ok()) std::abort();
  return 0;
}
