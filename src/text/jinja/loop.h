#pragma once

// The `loop` of a for block.

#include "text/jinja/value.h"

namespace polymath::text::jinja {

// The elements of a loop. A filtered loop (`for x in xs if ...`) seeks its next element as late as possible.
// Jinja does so, too: the condition may read variables that the body sets.
class LoopSource {
 public:
  virtual ~LoopSource() = default;
  virtual bool has(size_t i) = 0;
  virtual Value at(size_t i) = 0;  // REQUIRES: has(i)
  virtual size_t count() = 0;
};

struct Loop {
  LoopSource* source = nullptr;  // null: the loop is over
  size_t index = 0;
  bool changed_before = false;
  Value changed_last;
};

Value get_loop_attribute(Budget& budget, Loop& loop, std::string_view name, bool& found);

}  // namespace polymath::text::jinja
