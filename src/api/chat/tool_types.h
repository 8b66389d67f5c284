#pragma once

// Which of the functions' parameters are strings, by their JSON Schemas: for call formats that write no quotes.

#include <memory>

#include "base/json.h"
#include "text/output/tool_types.h"

namespace polymath::api {

// `tools`: checked tools (api/chat/messages.h), or null.
std::shared_ptr<const text::ToolTypes> declared_types(const base::JsonValue& tools);

// The schema that `schema` is or, by "$ref" into "$defs" or "definitions", names. A name that leads nowhere: itself.
const base::JsonValue& resolved_schema(const base::JsonValue& schema, const base::JsonObject& parameters);

}  // namespace polymath::api
