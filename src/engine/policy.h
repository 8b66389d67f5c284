#pragma once

// Scheduling policies: who goes before whom. A policy is a comparison, never a subclass.
//
// Who goes first gets tokens first and is admitted first; who goes last loses its blocks first.

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
// Null: there is none of this name.
const Policy* find_policy(std::string_view name);

}  // namespace polymath::engine
