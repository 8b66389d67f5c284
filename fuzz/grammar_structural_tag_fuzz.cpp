// Structural tags: compiled, then followed.

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "grammar_use.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  polymath::fuzz::use_grammar(polymath::text::grammar::Language::kStructuralTag,
                              std::string_view(reinterpret_cast<const char*>(data), size));
  return 0;
}
