#pragma once

// Formats of structural tags (src/text/grammar/structural_tag.cpp), as JSON.
// Thread safety: all functions are pure.

#include <string_view>
#include <utility>

#include "base/json.h"

namespace polymath::api::tags {

using Node = base::JsonValue;
using Nodes = base::JsonArray;

inline Node word(std::string_view text) { return boost::json::string_view(text.data(), text.size()); }
inline Node literal(std::string_view text) { return base::JsonObject{{"type", "const_string"}, {"value", word(text)}}; }
inline Node pattern(std::string_view regex) { return base::JsonObject{{"type", "regex"}, {"pattern", word(regex)}}; }
inline Node json(Node schema) { return base::JsonObject{{"type", "json_schema"}, {"json_schema", std::move(schema)}}; }
inline Node any_text() { return base::JsonObject{{"type", "any_text"}}; }
inline Node sequence(Nodes parts) { return base::JsonObject{{"type", "sequence"}, {"elements", std::move(parts)}}; }
// REQUIRES: not empty.
inline Node one_of(Nodes parts) {
  if (parts.size() == 1) return std::move(parts.front());
  return base::JsonObject{{"type", "or"}, {"elements", std::move(parts)}};
}
inline Node optional(Node node) { return base::JsonObject{{"type", "optional"}, {"content", std::move(node)}}; }
inline Node star(Node node) { return base::JsonObject{{"type", "star"}, {"content", std::move(node)}}; }
// Any text up to the first `end`, and that.
inline Node up_to(std::string_view end) {
  return base::JsonObject{{"type", "tag"}, {"begin", ""}, {"content", any_text()}, {"end", word(end)}};
}
inline Node gap() { return pattern("[ \\n]{0,4}"); }  // blanks that a format does not read

}  // namespace polymath::api::tags
