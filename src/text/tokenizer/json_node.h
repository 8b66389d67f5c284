#pragma once

// A node of tokenizer.json: {"type": "...", ...}, and what every reader of one does.

#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/status.h"

namespace polymath::text {

inline std::string_view to_view(const boost::json::string& s) { return {s.data(), s.size()}; }

// kInvalidArgument: "pre_tokenizer: type Foo is not supported".
absl::Status unknown_type(std::string_view path, std::string_view type);

// The members of a Sequence: node[key], an array of objects.
absl::StatusOr<std::vector<const base::JsonValue*>> sequence_of(const base::JsonValue& node, std::string_view key,
                                                                std::string_view path);

}  // namespace polymath::text
