// Any text as a price list: it is refused, or every row of it can be used.

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "plan/hardware.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace polymath::plan;
  const auto list = parse_prices({reinterpret_cast<const char*>(data), size});
  if (!list.ok()) return 0;
  for (const Instance& instance : list->instances) {
    if (instance.gpu == nullptr || instance.n_gpus < 1 || !(instance.dollars_an_hour >= 0)) std::abort();
  }
  if (merge_prices(built_in_prices(), *list).instances.size() < list->instances.size()) std::abort();
  return 0;
}
