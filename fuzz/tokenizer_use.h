#pragma once

// What fuzz targets do with a tokenizer that was read. A text is encoded, then decoded at once and token by token.

#include <string_view>

#include "base/check.h"
#include "text/detokenizer.h"
#include "text/token_offsets.h"
#include "text/token_texts.h"
#include "text/tokenizer.h"
#include "text/utf8.h"

namespace polymath::text {

inline constexpr TokenizerLimits kFuzzLimits{
    .file_bytes_max = 1u << 16, .vocab_max = 1u << 16, .token_bytes_max = 1u << 10};

inline void use_tokenizer(const Tokenizer& tokenizer, std::string_view text) {
  const auto ids = tokenizer.encode(text, true);
  for (const TokenId id : ids) CHECK(id >= 0 && static_cast<size_t>(id) < tokenizer.vocab_size());
  const std::string read = sanitize_utf8(text);
  const auto tokens = tokenizer.encode_with_offsets(text, true);
  CHECK(tokens.size() == ids.size());
  for (size_t i = 0; i < ids.size(); ++i) {
    CHECK(tokens[i].id == ids[i] && tokens[i].begin <= tokens[i].end && tokens[i].end <= read.size());
  }
  const auto characters = in_characters(read, tokens);
  const auto n_characters = static_cast<size_t>(count_characters(read));
  for (const TextToken& token : characters) CHECK(token.begin <= token.end && token.end <= n_characters);
  const ByteRange half{0, read.size() / 2};
  const auto mask = tokens_within({&half, 1}, tokens);
  for (size_t i = 0; i < mask.size(); ++i) CHECK(mask[i] == 0 || tokens[i].begin < half.end);
  tokenizer.decode(ids, false);
  Detokenizer detokenizer(tokenizer, {}, {.stop = {"\n\n", "a"}});
  for (const TokenId id : ids) detokenizer.push(id);
  detokenizer.finish();
}

}  // namespace polymath::text
