#pragma once

// Scheduling policies. A policy is a comparison of two sequences, never a subclass. The lesser one is admitted first,
// gets tokens first, and loses its blocks last.

#include <span>
#include <string_view>

#include "base/status.h"
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
absl::Status check_policy(std::string_view name);  // kInvalidArgument: no policy has this name; the message lists all

}  // namespace polymath::engine
