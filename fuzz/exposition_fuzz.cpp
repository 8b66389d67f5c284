// Any text as a server's metrics, and what doctor finds in it.

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "commands/doctor/findings.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace polymath::commands;
  const auto metrics = Exposition::parse({reinterpret_cast<const char*>(data), size});
  if (!metrics.ok()) return 0;
  for (const Finding& finding : findings_of_server(*metrics)) {
    if (finding.what.empty()) std::abort();
  }
  return 0;
}
