#include "api/request/structure.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "api/output/output_plan.h"
#include "api/status.h"
#include "text/grammar/grammar.h"

namespace polymath::api {
namespace {

using text::grammar::Language;
using text::grammar::Matcher;
using text::grammar::Preamble;

class GrammarMask : public engine::TokenMask {
 public:
  explicit GrammarMask(const GrammarPtr& grammar) : matcher_(grammar) {}
  void fill(std::span<uint64_t> allowed) override { matcher_.fill(allowed); }
  void accept(int32_t id) override { matcher_.accept(id); }

 private:
  Matcher matcher_;
};

absl::StatusOr<std::optional<Form>> schema_form(std::string_view field, const base::JsonValue* schema) {
  if (schema == nullptr) return invalid(field, "has no schema");
  // A string is the schema's JSON text.
  std::string source = schema->is_string() ? std::string(schema->get_string()) : base::to_text(*schema);
  return Form{std::string(field), {Language::kJsonSchema, std::move(source)}};
}

}  // namespace

absl::StatusOr<std::optional<Form>> parse_response_format(std::string_view field, const base::JsonValue& value) {
  if (!value.is_object()) return invalid(field, "must be an object");
  const base::JsonObject& object = value.get_object();
  const auto* type = object.if_contains("type");
  if (type == nullptr || !type->is_string()) return invalid(field, "has no type");
  const std::string name(type->get_string());
  if (name == "text") return std::nullopt;
  if (name == "json_object") {
    if (const auto* schema = object.if_contains("schema")) return schema_form(field, schema);
    return Form{std::string(field), {Language::kJsonObject, ""}};
  }
  if (name == "json_schema" || name == "json") {
    const auto* inner = object.if_contains(name == "json" ? "value" : "json_schema");
    if (inner == nullptr) inner = object.if_contains("value");
    if (name == "json" || inner == nullptr || !inner->is_object()) return schema_form(field, inner);
    return schema_form(field, inner->get_object().if_contains("schema"));
  }
  if (name == "regex") {
    const auto* pattern = object.if_contains("value");
    if (pattern == nullptr || !pattern->is_string()) return invalid(field, "has no value, a regular expression");
    return Form{std::string(field), {Language::kRegex, std::string(pattern->get_string())}};
  }
  if (name == "structural_tag") {
    return Form{std::string(field), {Language::kStructuralTag, base::to_text(value)}};
  }
  return invalid(field, absl::StrCat("has no type ", excerpt(name, 64)));
}

Preamble preamble_of(const OutputPlan& output) {
  Preamble preamble;
  const text::ReasoningFormat* reasoning = output.format.reasoning;
  preamble.is_harmony = output.format.is_harmony();
  if (reasoning == nullptr || preamble.is_harmony) return preamble;
  preamble.removed = {reasoning->removed.begin(), reasoning->removed.end()};
  if (output.has_reasoned) return preamble;
  preamble.begins = {reasoning->begins.begin(), reasoning->begins.end()};
  preamble.ends = {reasoning->ends.begin(), reasoning->ends.end()};
  preamble.inside = output.options.in_reasoning;
  return preamble;
}

absl::StatusOr<GrammarPtr> compile_form(const ServedModel& model, const Form& form, Preamble preamble) {
  RETURN_IF_ERROR(need_tokenizer(model, form.field));
  if (model.grammars == nullptr) return not_built(form.field, "needs a model that is loaded with its tokenizer");
  text::grammar::Spec spec = form.spec;
  spec.preamble = std::move(preamble);
  spec.preamble.is_final = !form.has_header;
  auto grammar = model.grammars->get(spec);
  const std::string why(grammar.status().message());
  if (absl::IsUnimplemented(grammar.status())) return not_built(form.field, why);
  if (!grammar.ok()) return invalid(form.field, why);
  return grammar;
}

std::shared_ptr<engine::TokenMask> make_mask(const GrammarPtr& grammar) {
  return grammar == nullptr ? nullptr : std::make_shared<GrammarMask>(grammar);
}

}  // namespace polymath::api
