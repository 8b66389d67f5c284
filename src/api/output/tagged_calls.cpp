// Calls whose parameters stand between tags. Strings have no quotes there; other values are JSON.

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "api/chat/tool_types.h"
#include "api/output/call_families.h"
#include "api/status.h"

namespace polymath::api {
namespace {

using namespace tags;
using text::CallFormat;
using text::ParameterType;

// Keywords that say nothing of which values are allowed.
constexpr std::string_view kSilent[] = {"title",    "description", "default",   "examples", "deprecated",
                                        "$comment", "readOnly",    "writeOnly", "$schema",  "$id"};
constexpr int kDepthMax = 8;  // of anyOf within anyOf
constexpr std::string_view kOfObject[] = {"type",  "properties",  "required", "additionalProperties",
                                          "$defs", "definitions", "strict"};

template <size_t N>
bool has(const std::string_view (&names)[N], std::string_view name) {
  return std::find(std::begin(names), std::end(names), name) != std::end(names);
}

bool has(const base::JsonArray& names, std::string_view name) {
  return std::find(names.begin(), names.end(), word(name)) != names.end();
}

bool is_required(const base::JsonObject& schema, std::string_view name) {
  const auto* required = schema.if_contains("required");
  return required != nullptr && required->is_array() && has(required->get_array(), name);
}

// Functions as tools again, whose types are declared.
base::JsonValue tools_of(const std::vector<CallableFunction>& functions) {
  base::JsonArray out;
  for (const CallableFunction& function : functions) {
    out.push_back(
        base::JsonObject{{"function", base::JsonObject{{"name", function.name}, {"parameters", function.parameters}}}});
  }
  return out;
}

absl::Status cannot(const CallFormat& format, std::string_view keyword) {
  return absl::UnimplementedError(absl::StrCat("the format ", std::string(format.name),
                                               " writes parameters between tags, where the keyword ",
                                               excerpt(keyword, 64), " cannot be held"));
}

// A value's schema on its own, with the definitions that it may name.
Node own_schema(const base::JsonValue& schema, const base::JsonObject& parameters) {
  if (!schema.is_object()) return schema;
  base::JsonObject out = schema.get_object();
  for (const char* name : {"$defs", "definitions"}) {
    const auto* found = parameters.if_contains(name);
    if (found != nullptr && !out.contains(name)) out[name] = *found;
  }
  return out;
}

void add_words(const base::JsonArray& values, Nodes& words) {
  for (const base::JsonValue& value : values) {
    if (value.is_string()) words.push_back(literal(value.get_string()));
  }
}

class TaggedWriter {
 public:
  explicit TaggedWriter(const CallTask& task)
      : format_(task.format), tags_(task.format.tagged), types_(declared_types(tools_of(task.functions))) {}

  // Behind the call's mark, with its end.
  absl::StatusOr<Node> call(const CallableFunction& function) const {
    const base::JsonObject& schema = function.parameters;
    for (const auto& member : schema) {
      const std::string_view name(member.key().data(), member.key().size());
      if (!has(kOfObject, name) && !has(kSilent, name)) return cannot(format_, name);
    }
    Nodes nodes = {literal(function.name), literal(tags_.name_end.empty() ? "\n" : tags_.name_end), gap()};
    const auto* properties = schema.if_contains("properties");
    if (properties != nullptr && properties->is_object()) {
      for (const auto& member : properties->get_object()) {
        const std::string name(member.key());
        ASSIGN_OR_RETURN(Node one, parameter(function, name, member.value()));
        one = sequence({std::move(one), gap()});
        nodes.push_back(is_required(schema, name) ? std::move(one) : optional(std::move(one)));
      }
    }
    nodes.push_back(literal(tags_.call_end));
    return sequence(std::move(nodes));
  }

 private:
  absl::StatusOr<Node> parameter(const CallableFunction& function, const std::string& name,
                                 const base::JsonValue& schema) const {
    const ParameterType type = types_->of(function.name, name);
    const bool is_string =
        type == ParameterType::kString || (type == ParameterType::kUnknown && !tags_.untyped_is_json);
    std::string key = absl::StrCat(std::string(tags_.key_begin), name);
    if (tags_.string_attribute) absl::StrAppend(&key, "\" string=\"", is_string ? "true" : "false");
    Nodes nodes = {literal(key), literal(tags_.key_end)};
    if (!tags_.value_begin.empty()) {
      nodes.push_back(gap());
      nodes.push_back(literal(tags_.value_begin));
    }
    const Node line = pattern(tags_.trims_newlines ? "\\n?" : "");
    if (!is_string) {
      nodes.insert(nodes.end(), {line, json(own_schema(schema, function.parameters)), line, literal(tags_.value_end)});
      return sequence(std::move(nodes));
    }
    ASSIGN_OR_RETURN(Nodes words, words_of(schema, function.parameters, 0));
    if (words.empty()) {
      nodes.push_back(up_to(tags_.value_end));
    } else {
      nodes.insert(nodes.end(), {line, one_of(std::move(words)), line, literal(tags_.value_end)});
    }
    return sequence(std::move(nodes));
  }

  // The strings that a schema lists. Empty: any string.
  absl::StatusOr<Nodes> words_of(const base::JsonValue& named, const base::JsonObject& parameters, int depth) const {
    const base::JsonValue& schema = resolved_schema(named, parameters);
    if (!schema.is_object()) return Nodes{};
    if (depth > kDepthMax) return cannot(format_, "anyOf");
    Nodes words;
    for (const auto& member : schema.get_object()) {
      const std::string_view name(member.key().data(), member.key().size());
      const base::JsonValue& value = member.value();
      if (name == "enum" && value.is_array()) {
        add_words(value.get_array(), words);
      } else if (name == "const") {
        add_words({value}, words);
      } else if ((name == "anyOf" || name == "oneOf") && value.is_array()) {
        ASSIGN_OR_RETURN(words, words_of_any(value.get_array(), parameters, depth));
      } else if (name != "type" && !has(kSilent, name)) {
        return cannot(format_, name);
      }
    }
    return words;
  }

  absl::StatusOr<Nodes> words_of_any(const base::JsonArray& options, const base::JsonObject& parameters,
                                     int depth) const {
    Nodes words;
    for (const base::JsonValue& option : options) {
      if (option == base::JsonObject{{"type", "null"}}) continue;
      ASSIGN_OR_RETURN(const Nodes more, words_of(option, parameters, depth + 1));
      if (more.empty()) return Nodes{};
      words.insert(words.end(), more.begin(), more.end());
    }
    return words;
  }

  const CallFormat& format_;
  const CallFormat::Tagged& tags_;
  const std::shared_ptr<const text::ToolTypes> types_;
};

}  // namespace

absl::StatusOr<Node> tagged_calls(const CallTask& task) {
  const CallFormat::Tagged& tags = task.format.tagged;
  const TaggedWriter writer(task);
  Nodes calls;
  for (const CallableFunction& function : task.functions) {
    ASSIGN_OR_RETURN(Node call, writer.call(function));
    calls.push_back(std::move(call));
  }
  const Node call = one_of(std::move(calls));
  if (tags.call_begin.empty()) return call;
  const Node marked = sequence({literal(tags.call_begin), call});
  Nodes nodes = {task.mark == tags.call_begin ? call : sequence({gap(), marked})};
  if (task.several) nodes.push_back(star(sequence({gap(), marked})));
  nodes.push_back(gap());
  nodes.push_back(literal(task.format.end));
  return sequence(std::move(nodes));
}

}  // namespace polymath::api
