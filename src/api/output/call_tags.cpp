#include "api/output/call_tags.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "api/output/call_families.h"

namespace polymath::api {
namespace {

using namespace tags;
using text::CallFamily;

bool is_strict(const base::JsonObject& function) {
  const auto* strict = function.if_contains("strict");
  return strict != nullptr && *strict == true;
}

CallableFunction callable(const base::JsonObject& function, bool every_schema) {
  CallableFunction out{.name = std::string(function.at("name").get_string()), .parameters = {{"type", "object"}}};
  const auto* parameters = function.if_contains("parameters");
  if (parameters == nullptr || !parameters->is_object() || !(every_schema || is_strict(function))) return out;
  out.parameters = parameters->get_object();
  if (!out.parameters.contains("type")) out.parameters["type"] = "object";
  return out;
}

absl::StatusOr<Node> calls_behind(const CallTask& task) {
  switch (task.format.family) {
    case CallFamily::kJson:
      return json_calls(task);
    case CallFamily::kNamed:
    case CallFamily::kMistral:
      return named_calls(task);
    case CallFamily::kTagged:
      return tagged_calls(task);
    case CallFamily::kHarmony:
      return harmony_calls(task.functions);
    case CallFamily::kPythonic:
      break;
  }
  return absl::UnimplementedError(absl::StrCat("the format ", std::string(task.format.name),
                                               " writes arguments as Python, which no grammar holds"));
}

}  // namespace

absl::StatusOr<CallTags> CallTags::make(const CallRules& rules) {
  CallTags out(*rules.format, rules.several);
  std::vector<CallableFunction> functions;
  for (const base::JsonValue& function : rules.functions) {
    functions.push_back(callable(function.get_object(), rules.every_schema));
  }
  text::Marks marks = rules.format->begins;
  if (marks.empty() || !rules.format->bare.empty()) marks.push_back("");
  for (const std::string_view mark : marks) {
    ASSIGN_OR_RETURN(Node node, calls_behind({*rules.format, functions, mark, rules.several}));
    out.behind_.emplace_back(mark, std::move(node));
  }
  return out;
}

Node CallTags::calls() const {
  Nodes forms;
  for (const auto& [mark, behind] : behind_) forms.push_back(sequence({literal(mark), behind}));
  const Node one = one_of(std::move(forms));
  if (format_.family == CallFamily::kHarmony) return one;
  if (!several_) return sequence({gap(), one});
  return sequence({gap(), one, star(sequence({gap(), one}))});
}

Node CallTags::within_text() const {
  // A header says whether a message is a call.
  if (format_.family == CallFamily::kHarmony)
    return one_of({calls(), sequence({literal("<|channel|>final<|message|>"), any_text()})});
  Nodes nodes, triggers;
  for (const auto& [mark, behind] : behind_) {
    if (mark.empty()) continue;
    triggers.push_back(word(mark));
    nodes.push_back(base::JsonObject{{"type", "tag"}, {"begin", word(mark)}, {"content", behind}, {"end", ""}});
  }
  Node text = any_text();
  if (!nodes.empty()) {
    text = base::JsonObject{{"type", "triggered_tags"},
                            {"triggers", std::move(triggers)},
                            {"tags", std::move(nodes)},
                            {"stop_after_first", !several_}};
  }
  if (format_.bare.empty()) return text;
  // What begins as calls without a mark do is one.
  std::string first = "[^\\s";
  for (const char byte : format_.bare) absl::StrAppend(&first, "\\", std::string(1, byte));
  return one_of({calls(), gap(), sequence({gap(), pattern(first + "]"), std::move(text)})});
}

}  // namespace polymath::api
