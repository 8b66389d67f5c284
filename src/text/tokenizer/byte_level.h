#pragma once

// GPT-2's alphabet: every byte as one printable character, so that any bytes are text.
// Printable Latin-1 maps to itself; the 68 other bytes to U+0100 onwards, in order (space: U+0120 "Ġ").

#include <string>
#include <string_view>

#include "text/tokenizer/aligned_text.h"

namespace polymath::text {

std::string bytes_to_level(std::string_view bytes);

// The same for the next bytes of a text, which are `word`. REQUIRES: valid UTF-8.
void append_level(std::string_view word, Rewrite& out);

// Appends the bytes of `token`; `token` itself if a character is outside the alphabet.
void append_level_bytes(std::string_view token, std::string& out);

}  // namespace polymath::text
