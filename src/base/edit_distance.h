#pragma once

// How far apart two words are, to name the nearest known one in a message.

#include <cstddef>
#include <string_view>

namespace polymath::base {

// Insertions, deletions and replacements of bytes that turn `a` into `b`. Time is the one length times the other.
size_t edit_distance(std::string_view a, std::string_view b);

}  // namespace polymath::base
