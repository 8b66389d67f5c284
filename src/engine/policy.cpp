#include "engine/policy.h"

#include <string>

#include "absl/strings/str_cat.h"

namespace polymath::engine {
namespace {

// Starves no request. The oldest keeps its blocks and always gets tokens.
bool by_arrival(const Sequence& a, const Sequence& b) { return a.arrival < b.arrival; }

// Strict: a stream of urgent requests makes the others wait.
bool by_priority(const Sequence& a, const Sequence& b) {
  return a.priority != b.priority ? a.priority < b.priority : by_arrival(a, b);
}

constexpr Policy kPolicies[] = {
    {"fcfs", by_arrival},
    {"priority", by_priority},
};

}  // namespace

std::span<const Policy> policies() { return kPolicies; }

absl::Status check_policy(std::string_view name) {
  if (find_policy(name) != nullptr) return absl::OkStatus();
  std::string names;
  for (const Policy& policy : kPolicies) names.append(names.empty() ? "" : ", ").append(policy.name);
  return absl::InvalidArgumentError(absl::StrCat("`", std::string(name), "` is not one of ", names));
}

const Policy* find_policy(std::string_view name) {
  for (const Policy& policy : kPolicies) {
    if (policy.name == name) return &policy;
  }
  return nullptr;
}

}  // namespace polymath::engine
