#include "engine/policy.h"

namespace polymath::engine {
namespace {

// Starves no request: the oldest keeps its blocks and always gets tokens, so it ends, and the next is the oldest.
bool by_arrival(const Sequence& a, const Sequence& b) { return a.arrival < b.arrival; }

// Strict: a steady stream of urgent requests makes the others wait.
bool by_priority(const Sequence& a, const Sequence& b) {
  return a.priority != b.priority ? a.priority < b.priority : by_arrival(a, b);
}

constexpr Policy kPolicies[] = {
    {"fcfs", by_arrival},
    {"priority", by_priority},
};

}  // namespace

std::span<const Policy> policies() { return kPolicies; }

const Policy* find_policy(std::string_view name) {
  for (const Policy& policy : kPolicies) {
    if (policy.name == name) return &policy;
  }
  return nullptr;
}

}  // namespace polymath::engine
