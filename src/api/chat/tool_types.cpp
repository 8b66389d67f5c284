#include "api/chat/tool_types.h"

#include <algorithm>
#include <string>

#include "absl/strings/str_cat.h"

namespace polymath::api {
namespace {

constexpr int kDepthMax = 8;  // of anyOf within anyOf, or of names of names; deeper: not a string

// Whether every value of the schema is a string, or null.
bool is_string(const base::JsonValue& named, const base::JsonObject& parameters, int depth) {
  const base::JsonValue& schema = resolved_schema(named, parameters);
  if (!schema.is_object() || depth > kDepthMax) return false;
  const base::JsonObject& object = schema.get_object();
  const auto is_text = [](const base::JsonValue& type) { return type == "string" || type == "null"; };
  if (const auto* type = object.if_contains("type"); type != nullptr) {
    if (!type->is_array()) return *type == "string";
    const base::JsonArray& types = type->get_array();
    return std::all_of(types.begin(), types.end(), is_text) && types != base::JsonArray{"null"};
  }
  for (const char* name : {"anyOf", "oneOf"}) {
    const auto* options = object.if_contains(name);
    if (options == nullptr || !options->is_array()) continue;
    return std::all_of(options->get_array().begin(), options->get_array().end(), [&](const base::JsonValue& option) {
      const auto* type = option.is_object() ? option.get_object().if_contains("type") : nullptr;
      return (type != nullptr && *type == "null") || is_string(option, parameters, depth + 1);
    });
  }
  const auto* values = object.if_contains("enum");
  return values != nullptr && values->is_array() &&
         std::all_of(values->get_array().begin(), values->get_array().end(),
                     [](const base::JsonValue& value) { return value.is_string(); });
}

// False: the schema does not say what its values are.
bool says_type(const base::JsonValue& schema) {
  if (!schema.is_object()) return false;
  const base::JsonObject& object = schema.get_object();
  return object.contains("type") || object.contains("anyOf") || object.contains("oneOf") || object.contains("enum");
}

void add_function(const base::JsonObject& function, text::ToolTypes& types) {
  const auto* name = function.if_contains("name");
  const auto* parameters = function.if_contains("parameters");
  if (name == nullptr || !name->is_string() || parameters == nullptr || !parameters->is_object()) return;
  const auto* properties = parameters->get_object().if_contains("properties");
  if (properties == nullptr || !properties->is_object()) return;
  const std::string_view function_name(name->get_string().data(), name->get_string().size());
  for (const auto& member : properties->get_object()) {
    if (!says_type(resolved_schema(member.value(), parameters->get_object()))) continue;
    const auto type = is_string(member.value(), parameters->get_object(), 0) ? text::ParameterType::kString
                                                                             : text::ParameterType::kOther;
    types.add(function_name, {member.key().data(), member.key().size()}, type);
  }
}

}  // namespace

const base::JsonValue& resolved_schema(const base::JsonValue& schema, const base::JsonObject& parameters) {
  const base::JsonValue* at = &schema;
  for (int depth = 0; depth < kDepthMax && at->is_object(); ++depth) {
    const auto* ref = at->get_object().if_contains("$ref");
    if (ref == nullptr || !ref->is_string()) return *at;
    std::string_view path(ref->get_string().data(), ref->get_string().size());
    const base::JsonValue* next = nullptr;
    for (const std::string_view place : {"$defs", "definitions"}) {
      const std::string prefix = absl::StrCat("#/", std::string(place), "/");
      if (!path.starts_with(prefix)) continue;
      const auto* definitions = parameters.if_contains(place);
      if (definitions == nullptr || !definitions->is_object()) continue;
      next = definitions->get_object().if_contains(path.substr(prefix.size()));
    }
    if (next == nullptr) return schema;
    at = next;
  }
  return *at;
}

std::shared_ptr<const text::ToolTypes> declared_types(const base::JsonValue& tools) {
  auto types = std::make_shared<text::ToolTypes>();
  if (!tools.is_array()) return types;
  for (const base::JsonValue& tool : tools.get_array()) {
    const auto* function = tool.is_object() ? tool.get_object().if_contains("function") : nullptr;
    if (function != nullptr && function->is_object()) add_function(function->get_object(), *types);
  }
  return types;
}

}  // namespace polymath::api
