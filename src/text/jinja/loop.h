#pragma once

// The `loop` of a for block.

#include "text/jinja/value.h"

namespace polymath::text::jinja {

// What a loop runs over. With a condition (`for x in xs if ...`) it looks ahead only when it is asked to, as Jinja
// does: the condition may read what the body sets.
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
