#pragma once

// JSON as a template's values.

#include "base/json.h"
#include "text/jinja/call.h"

namespace polymath::text::jinja {

// Text is not copied: the value is valid while `json` is. TemplateError: nested more than 200 deep.
Value json_value(Budget& budget, const base::JsonValue& json);

// The filter: Python's json.loads, without NaN and Infinity. TemplateError: no JSON text.
Value from_json(Context& context, const Value& v, const Arguments& arguments);

}  // namespace polymath::text::jinja
