#pragma once

// `attribute="function.name"` of map, sort, selectattr and the like.

#include "text/jinja/value.h"

namespace polymath::text::jinja {

class AttributePath {
 public:
  // A text with dots, an integer, or none: the item itself.
  AttributePath(Budget& budget, const Value& attribute);

  // `fallback`, unless it is none, replaces an undefined value on the way.
  Value get(Budget& budget, Value item, const Value& fallback = none()) const;
  bool empty() const { return parts_->items.empty(); }

 private:
  List* parts_;
};

// dict.items()
List* dict_items(Budget& budget, const Dict& dict);

}  // namespace polymath::text::jinja
