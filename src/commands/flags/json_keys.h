#pragma once

// The keys of a flag's JSON object.

#include <span>
#include <string_view>

#include "base/json.h"
#include "base/status.h"

namespace polymath::commands {

// kInvalidArgument: a key is none of the known ones (named).
absl::Status check_keys(const base::JsonObject& object, std::span<const std::string_view> known);

}  // namespace polymath::commands
