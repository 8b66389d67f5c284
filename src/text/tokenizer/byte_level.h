#pragma once

// GPT-2's alphabet: every byte as one printable character, so that any bytes are text.
// Printable Latin-1 maps to itself; the 68 other bytes to U+0100 onwards, in order (space: U+0120 "Ġ").

#include <string>
#include <string_view>

namespace polymath::text {

std::string bytes_to_level(std::string_view bytes);

// Appends the bytes of `token`; `token` itself if a character is outside the alphabet.
void append_level_bytes(std::string_view token, std::string& out);

}  // namespace polymath::text
