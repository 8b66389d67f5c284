#pragma once

// YAML of Kubernetes manifests, read into JSON values and written from them.
//
// Read: block and flow mappings and sequences, plain, quoted and block scalars, comments, several documents. Scalars
// mean what they mean to kubectl: yes, no, on and off are truth values, too. Refused by name: anchors, aliases, tags,
// merge keys, plain or quoted scalars of several lines, keys that occur twice.

#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/status.h"

namespace polymath::commands {

constexpr size_t kYamlBytesMax = 4 << 20;  // a longer text: kInvalidArgument
constexpr int kYamlDepthMax = 64;          // deeper nesting: kInvalidArgument

// One value a document; empty documents are left out. kInvalidArgument: "line 7: ...".
absl::StatusOr<std::vector<base::JsonValue>> parse_yaml(std::string_view yaml);

// Block style, in the order of the members; ends with a line break.
std::string to_yaml(const base::JsonValue& value);

// What a plain scalar is: null, a truth value, a number, or text.
base::JsonValue plain_scalar(std::string_view text);

}  // namespace polymath::commands
