// Fuzzes tokenizer.json and tokenizer.model, then a text: encode, decode and stream it.
//
// Input: the file's size n (two bytes, little-endian), n bytes of file, text.
// A file that begins with '{' is JSON, any other a SentencePiece model.

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "text/tokenizer.h"
#include "tokenizer_use.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace polymath::text;
  if (size < 2) return 0;
  const std::string_view input(reinterpret_cast<const char*>(data) + 2, size - 2);
  const std::string_view file = input.substr(0, data[0] | data[1] << 8);
  const std::string_view text = input.substr(file.size());
  const auto tokenizer = file.substr(0, 1) == "{" ? parse_tokenizer_json(file, "", kFuzzLimits)
                                                  : parse_sentencepiece_model(file, "", kFuzzLimits);
  if (tokenizer.ok()) use_tokenizer(**tokenizer, text);
  return 0;
}
