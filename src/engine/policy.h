#pragma once

// Scheduling policies. A policy is a comparison of two sequences, never a subclass: the lesser one is admitted first,
// gets tokens first, and loses its blocks last.

#include <span>
#include <string_view>

#include "engine/sequence.h"

namespace polymath::engine {

struct Policy {
  std::string_view name;  // as --scheduling-policy spells it
  // A strict total order: arrivals are distinct.
  bool (*before)(const Sequence& a, const Sequence& b);
};

// Every policy, the default first.
std::span<const Policy> policies();
// Null: no policy has this name.
const Policy* find_policy(std::string_view name);

}  // namespace polymath::engine
