// Fuzzes tekken.json and the tokenizer_config.json beside it, then a text: encode, decode and stream it.
//
// Input: the sizes of both files (two bytes each, little-endian), both files, text.

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "text/tokenizer.h"
#include "tokenizer_use.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace polymath::text;
  if (size < 4) return 0;
  const std::string_view input(reinterpret_cast<const char*>(data) + 4, size - 4);
  const std::string_view file = input.substr(0, data[0] | data[1] << 8);
  const std::string_view config = input.substr(file.size(), data[2] | data[3] << 8);
  const auto tokenizer = parse_tekken({"tekken.json", file}, config, kFuzzLimits);
  if (tokenizer.ok()) use_tokenizer(**tokenizer, input.substr(file.size() + config.size()));
  return 0;
}
