#pragma once

// GPT-2's alphabet: every byte as one printable character, so that any bytes are text.
// Printable Latin-1 stands for itself; the 68 other bytes take U+0100 onwards, in order (space: U+0120 "Ġ").

#include <string>
#include <string_view>

namespace polymath::text {

std::string bytes_to_level(std::string_view bytes);

// Appends the bytes behind `token`. A token with a character outside the alphabet stands for itself.
void append_level_bytes(std::string_view token, std::string& out);

}  // namespace polymath::text
