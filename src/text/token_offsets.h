#pragma once

// Where tokens lie in their text, as clients ask for it.

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "text/rendered_chat.h"
#include "text/tokenizer.h"

namespace polymath::text {

// The same tokens; begin and end count characters (code points) of `text` instead of bytes. REQUIRES: `text` is valid
// UTF-8, and the tokens are those of encode_with_offsets(text).
std::vector<TextToken> in_characters(std::string_view text, std::vector<TextToken> tokens);

// Of each token 1 if the ranges have some of its bytes, else 0: transformers' assistant mask. A token without bytes, of
// trimmed blanks, is 1 inside a range. REQUIRES: the ranges are in order and apart, as a RenderedChat has them.
std::vector<int32_t> tokens_within(std::span<const ByteRange> ranges, std::span<const TextToken> tokens);

}  // namespace polymath::text
