#pragma once

// A chat as its template renders it, and which parts of the text the assistant wrote.

#include <string>
#include <vector>

namespace polymath::text {

struct ByteRange {
  size_t begin = 0, end = 0;  // [begin, end)
};

struct RenderedChat {
  std::string text;
  std::vector<ByteRange> generated;  // by {% generation %} blocks; in order, apart from each other, none is empty
};

}  // namespace polymath::text
