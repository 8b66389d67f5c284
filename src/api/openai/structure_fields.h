#pragma once

// OpenAI's response_format, vLLM's structured_outputs and its older guided_* fields. At most one of them may ask for a
// form.

#include "api/request/structure.h"
#include "base/json.h"

namespace polymath::api {

// kInvalidArgument, kUnimplemented: a field, named.
absl::StatusOr<std::optional<Form>> parse_structure(const base::JsonReader& j);

}  // namespace polymath::api
