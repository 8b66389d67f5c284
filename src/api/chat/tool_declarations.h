#pragma once

// Tools as TypeScript declarations: what Kimi-K2.5's template calls tools_ts_str.
//
//   # Tools
//
//   ## functions
//   namespace functions {
//   // Tells the weather.
//   type get_weather = (_: {
//     city: string,
//     // Default: 1
//     days?: number
//   }) => any;
//   }
//
// The model's Python tokenizer writes them, from tools whose members it sorted by name.
// Source: tool_declaration_ts.py and tokenization_kimi.py of moonshotai/Kimi-K2.5.
// Thread safety: all functions are pure.

#include <optional>
#include <string>

#include "base/json.h"

namespace polymath::api {

// The same value with the members of each object sorted by name.
base::JsonValue sorted_members(const base::JsonValue& value);

// REQUIRES: checked tools, their members sorted. nullopt: a schema that cannot be declared so; the template then shows
// the tools as JSON, as with Python's tokenizer.
std::optional<std::string> declare_tools(const base::JsonArray& tools);

}  // namespace polymath::api
