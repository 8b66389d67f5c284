#include "api/output/answer_form.h"

#include <algorithm>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "api/output/call_tags.h"
#include "api/status.h"

namespace polymath::api {
namespace {

using namespace tags;
using text::grammar::Language;

bool any_strict(const base::JsonArray& functions) {
  return std::any_of(functions.begin(), functions.end(), [](const base::JsonValue& function) {
    const auto* strict = function.get_object().if_contains("strict");
    return strict != nullptr && *strict == true;
  });
}

// The functions that may be called. `name` empty: all.
base::JsonArray functions_of(const base::JsonValue& tools, std::string_view name) {
  base::JsonArray out;
  for (const base::JsonValue& tool : tools.get_array()) {
    const base::JsonValue& function = tool.at("function");
    if (name.empty() || function.at("name") == word(name)) out.push_back(function);
  }
  return out;
}

absl::StatusOr<Node> any_word(std::string_view field, const base::JsonValue& words) {
  Nodes nodes;
  const bool is_list = words.is_array() && !words.get_array().empty();
  if (!is_list) return invalid(field, "must be an array with at least one string");
  for (const base::JsonValue& one : words.get_array()) {
    if (!one.is_string()) return invalid(field, "must be an array of strings");
    nodes.push_back(literal(one.get_string()));
  }
  return one_of(std::move(nodes));
}

// The form as a format of structural tags.
absl::StatusOr<Node> node_of(const Form& form) {
  const std::string& source = form.spec.source;
  switch (form.spec.language) {
    case Language::kJsonObject:
      return json(base::JsonObject{{"type", "object"}});
    case Language::kRegex:
      return pattern(source);
    case Language::kEbnf:
      return base::JsonObject{{"type", "grammar"}, {"grammar", word(source)}};
    default:
      break;
  }
  auto parsed = base::parse_json(source, {});
  if (!parsed.ok()) return invalid(form.field, std::string(parsed.status().message()));
  if (form.spec.language == Language::kJsonSchema) return json(*std::move(parsed));
  if (form.spec.language == Language::kChoices) return any_word(form.field, *parsed);
  const auto* format = parsed->is_object() ? parsed->get_object().if_contains("format") : nullptr;
  if (format == nullptr) return invalid(form.field, "structural tags beside tools need a format");
  return *format;
}

Form tag_form(std::string_view field, const std::string& whitespace, Node format) {
  const base::JsonObject document{{"type", "structural_tag"}, {"format", std::move(format)}};
  return {std::string(field), {Language::kStructuralTag, base::to_text(document), whitespace}, /*has_header=*/true};
}

}  // namespace

absl::StatusOr<std::optional<Form>> answer_form(const ChatPrompt& chat, const OutputPlan& output,
                                                std::optional<Form> asked) {
  if (chat.tools.is_null()) return asked;
  const std::string_view field = chat.legacy_functions ? "function_call" : "tool_choice";
  const text::CallFormat* format = output.format.calls;
  if (format == nullptr) {
    if (!chat.force_call) return asked;
    return not_built(field, "this model's chat template writes no tool calls; --tool-call-parser names a format");
  }
  CallRules rules{.format = format, .functions = functions_of(chat.tools, chat.forced_function)};
  if (rules.functions.empty()) {
    return invalid(field, absl::StrCat("no tool has the name ", excerpt(chat.forced_function, 64)));
  }
  const bool strict = any_strict(rules.functions);
  if (!chat.force_call && !strict && !asked.has_value()) return std::nullopt;
  rules.several = chat.parallel_calls;
  rules.every_schema = chat.force_call;
  const auto calls = CallTags::make(rules);
  if (!calls.ok()) return not_built(chat.force_call ? field : "tools", std::string(calls.status().message()));
  if (chat.force_call) return tag_form(field, "", calls->calls());
  if (!asked.has_value()) return tag_form("tools", "", calls->within_text());
  ASSIGN_OR_RETURN(Node text, node_of(*asked));
  if (output.format.is_harmony()) text = sequence({literal("<|channel|>final<|message|>"), std::move(text)});
  return tag_form(asked->field, asked->spec.whitespace, one_of({calls->calls(), std::move(text)}));
}

}  // namespace polymath::api
