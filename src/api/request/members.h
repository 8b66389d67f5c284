#pragma once

// Members of a request's objects, for dialects that read their JSON member by member.
//
// Thread safety: all functions are pure.

#include <string>
#include <string_view>

#include "absl/strings/str_cat.h"
#include "api/status.h"
#include "base/json.h"

namespace polymath::api {

// Null: absent, or null.
inline const base::JsonValue* find_member(const base::JsonObject& object, std::string_view name) {
  const auto* found = object.if_contains(name);
  return found == nullptr || found->is_null() ? nullptr : found;
}

// "tools[0].name"; `where` empty: the name alone.
inline std::string member_name(std::string_view where, std::string_view name) {
  return absl::StrCat(std::string(where), where.empty() ? "" : ".", std::string(name));
}

// Empty: absent. `where`: the object's name in errors; empty: the request itself.
inline absl::StatusOr<std::string> text_member(const base::JsonObject& object, std::string_view name,
                                               std::string_view where) {
  const auto* found = find_member(object, name);
  if (found == nullptr) return std::string();
  if (!found->is_string()) return invalid(member_name(where, name), "must be a string");
  return std::string(found->get_string());
}

}  // namespace polymath::api
