#include "api/openai/structure_fields.h"

#include <algorithm>
#include <iterator>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "api/json_values.h"
#include "api/status.h"

namespace polymath::api {
namespace {

using text::grammar::Language;
using text::grammar::Spec;

// A member of structured_outputs, and the older field of the same meaning.
struct Row {
  const char* name;
  const char* older;  // null: none
  Language language;
  bool is_text;  // the source is a string; else any JSON, or a string of it
};

constexpr Row kRows[] = {
    {"json", "guided_json", Language::kJsonSchema, false},        {"regex", "guided_regex", Language::kRegex, true},
    {"choice", "guided_choice", Language::kChoices, false},       {"grammar", "guided_grammar", Language::kEbnf, true},
    {"structural_tag", nullptr, Language::kStructuralTag, false},
};

absl::StatusOr<Form> read_form(const std::string& field, const Row& row, const base::JsonValue& value) {
  if (row.is_text && !value.is_string()) return invalid(field, "must be a string");
  const bool as_text = value.is_string();
  return Form{field, {row.language, as_text ? std::string(value.get_string()) : base::to_text(value)}};
}

absl::Status add_structured_outputs(const base::JsonValue& value, std::vector<Form>& asked) {
  constexpr const char* kField = "structured_outputs";
  if (!value.is_object()) return invalid(kField, "must be an object");
  std::string blanks;
  for (const auto& member : value.get_object()) {
    const std::string name(member.key());
    if (asks_nothing(member.value(), "")) continue;
    if (name == "whitespace_pattern" && member.value().is_string()) {
      blanks = member.value().get_string();
      continue;
    }
    if (name == "disable_any_whitespace") {
      blanks = "()";
      continue;
    }
    if (name == "json_object") {
      asked.push_back({kField, {Language::kJsonObject, ""}});
      continue;
    }
    if (name == "disable_fallback" || name == "_backend") continue;  // there is one implementation
    const auto row = std::find_if(std::begin(kRows), std::end(kRows), [&](const Row& r) { return name == r.name; });
    if (row == std::end(kRows)) return not_built(kField, absl::StrCat(excerpt(name, 64), " is not supported"));
    ASSIGN_OR_RETURN(Form one, read_form(kField, *row, member.value()));
    asked.push_back(std::move(one));
  }
  if (asked.empty() && !blanks.empty()) return invalid(kField, "whitespace_pattern needs json");
  if (!asked.empty()) asked.back().spec.whitespace = blanks;
  return absl::OkStatus();
}

absl::Status add_older_fields(const base::JsonReader& j, std::vector<Form>& asked) {
  for (const Row& row : kRows) {
    const auto* value = row.older == nullptr ? nullptr : j.find(row.older);
    if (value == nullptr || asks_nothing(*value, "")) continue;
    ASSIGN_OR_RETURN(Form one, read_form(row.older, row, *value));
    asked.push_back(std::move(one));
  }
  const auto* blanks = j.find("guided_whitespace_pattern");
  if (blanks == nullptr || asks_nothing(*blanks, "")) return absl::OkStatus();
  if (!blanks->is_string()) return invalid("guided_whitespace_pattern", "must be a string");
  if (asked.empty() || asked.back().field != "guided_json") {
    return invalid("guided_whitespace_pattern", "needs guided_json");
  }
  asked.back().spec.whitespace = blanks->get_string();
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::optional<Form>> parse_structure(const base::JsonReader& j) {
  std::vector<Form> asked;
  if (const auto* format = j.find("response_format"); format != nullptr && !asks_nothing(*format, "")) {
    ASSIGN_OR_RETURN(std::optional<Form> form, parse_response_format("response_format", *format));
    if (form.has_value()) asked.push_back(*std::move(form));
  }
  if (const auto* value = j.find("structured_outputs"); value != nullptr && !asks_nothing(*value, "")) {
    RETURN_IF_ERROR(add_structured_outputs(*value, asked));
  }
  RETURN_IF_ERROR(add_older_fields(j, asked));
  if (asked.empty()) return std::nullopt;
  if (asked.size() == 1) return asked.front();
  return invalid(asked.back().field, "only one of response_format, structured_outputs and guided_* may ask for a form");
}

}  // namespace polymath::api
