#pragma once

// The form that a request asks of its answer, in any dialect, and the engine's mask of it.
//
//   ASSIGN_OR_RETURN(std::optional<Form> form, parse_response_format("response_format", value));
//   ASSIGN_OR_RETURN(plan.grammar, compile_form(model, *form, preamble_of(plan.output)));
//   request.mask = make_mask(plan.grammar);      // one a choice; null: any text

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "api/served_model.h"
#include "base/json.h"
#include "base/status.h"
#include "engine/request.h"
#include "text/grammar/spec.h"

namespace polymath::api {

struct OutputPlan;

struct Form {
  std::string field;  // of the request, for errors
  text::grammar::Spec spec;
  bool has_header = false;  // in gpt-oss's channels: the text begins with its messages' header
};

using GrammarPtr = std::shared_ptr<text::grammar::Grammar>;

// "type" is text, json_object, json_schema, structural_tag, or TGI's json and regex. nullopt: text.
// kInvalidArgument, kUnimplemented: they name `field`.
absl::StatusOr<std::optional<Form>> parse_response_format(std::string_view field, const base::JsonValue& value);

// The reasoning that the model may write before the form.
text::grammar::Preamble preamble_of(const OutputPlan& output);

// Compiles on the calling thread. Errors name the form's field: kInvalidArgument: the grammar is wrong or too large.
// kUnimplemented: a feature, by name.
absl::StatusOr<GrammarPtr> compile_form(const ServedModel& model, const Form& form, text::grammar::Preamble preamble);

// A new mask, at the beginning of an answer. Null: any text.
std::shared_ptr<engine::TokenMask> make_mask(const GrammarPtr& grammar);

}  // namespace polymath::api
