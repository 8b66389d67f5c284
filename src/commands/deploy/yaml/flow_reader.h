#pragma once

// What is inside a line of YAML: scalars, [a, b] and {a: b}. Only yaml_reader.cpp includes this.

#include <optional>
#include <string>
#include <string_view>

#include "base/json.h"
#include "base/status.h"

namespace polymath::commands {

// One value and nothing behind it but a comment.
absl::StatusOr<base::JsonValue> parse_flow(std::string_view text);

// Without blanks at its end.
std::string_view trimmed(std::string_view text);

// Whether every bracket and quote that the text opens is closed.
bool is_closed(std::string_view text);

// Where the colon of `key: value` is; nullopt: it is no such line.
std::optional<size_t> key_end(std::string_view text);

}  // namespace polymath::commands
