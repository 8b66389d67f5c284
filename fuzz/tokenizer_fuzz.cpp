// Fuzzes tokenizer.json and tokenizer.model, then a text: encode, decode and stream it.
//
// Input: the file's size n (two bytes, little-endian), n bytes of file, text.
// A file that begins with '{' is JSON, any other a SentencePiece model.

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/check.h"
#include "text/detokenizer.h"
#include "text/tokenizer.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace polymath::text;
  if (size < 2) return 0;
  const std::string_view input(reinterpret_cast<const char*>(data) + 2, size - 2);
  const std::string_view file = input.substr(0, data[0] | data[1] << 8);
  const std::string_view text = input.substr(file.size());
  const TokenizerLimits limits{.file_bytes_max = 1u << 16, .vocab_max = 1u << 16, .token_bytes_max = 1u << 10};
  const auto tokenizer =
      file.substr(0, 1) == "{" ? parse_tokenizer_json(file, "", limits) : parse_sentencepiece_model(file, "", limits);
  if (!tokenizer.ok()) return 0;
  const auto ids = (*tokenizer)->encode(text, true);
  for (const TokenId id : ids) CHECK(id >= 0 && static_cast<size_t>(id) < (*tokenizer)->vocab_size());
  (*tokenizer)->decode(ids, false);
  Detokenizer detokenizer(**tokenizer, {}, {.stop = {"\n\n", "a"}});
  for (const TokenId id : ids) detokenizer.push(id);
  detokenizer.finish();
  return 0;
}
