#include "api/output/call_families.h"

#include <utility>

#include "absl/strings/str_cat.h"

namespace polymath::api {
namespace {

using namespace tags;
using text::CallFormat;

Node any_mark(const text::Marks& marks) {
  Nodes nodes;
  for (const std::string_view mark : marks) nodes.push_back(literal(mark));
  return one_of(std::move(nodes));
}

// "name":, by any of the names.
Node any_key(const text::Marks& names) {
  Nodes nodes;
  for (const std::string_view name : names) nodes.push_back(literal(absl::StrCat(base::json_string(name), ":")));
  return one_of(std::move(nodes));
}

// {"name": "f", "arguments": {...}}
Node json_call(const CallFormat::Json& members, const CallableFunction& function) {
  if (members.name_is_key) {
    return sequence({literal(absl::StrCat("{", base::json_string(function.name), ":")), pattern(" ?"),
                     json(function.parameters), literal("}")});
  }
  return sequence({literal("{"), any_key(members.names), pattern(" ?"), literal(base::json_string(function.name)),
                   pattern(", ?"), any_key(members.arguments), pattern(" ?"), json(function.parameters), gap(),
                   literal("}")});
}

Node repeated(const Node& one, const Node& separator, bool several) {
  if (!several) return one;
  return sequence({one, star(sequence({separator, one}))});
}

// functions.f:0, or an id where the header has a name beside it.
Node id_node(const CallableFunction& function, bool has_name) {
  if (has_name) return pattern("[a-zA-Z0-9]{9}");
  return sequence({literal(absl::StrCat("functions.", function.name, ":")), pattern("[0-9]{1,3}")});
}

Node header_node(std::string_view header, const CallableFunction& function) {
  const bool has_name = header.find("{name}") != std::string_view::npos;
  Nodes nodes;
  while (!header.empty()) {
    const size_t open = header.find('{');
    if (open != 0) nodes.push_back(literal(header.substr(0, open)));
    if (open == std::string_view::npos) break;
    const size_t close = header.find('}', open);
    const bool is_id = header.substr(open, close - open) == "{id";
    nodes.push_back(is_id ? id_node(function, has_name) : literal(function.name));
    header.remove_prefix(close + 1);
  }
  return sequence(std::move(nodes));
}

// Behind a call's own mark.
Node named_call(const CallFormat::Named& named, const CallableFunction& function) {
  Nodes headers;
  for (const std::string_view header : named.headers) headers.push_back(header_node(header, function));
  Nodes nodes = {one_of(std::move(headers)), gap(), json(function.parameters)};
  if (!named.tails.empty()) {
    nodes.push_back(gap());
    nodes.push_back(any_mark(named.tails));
  }
  return sequence(std::move(nodes));
}

}  // namespace

Node json_calls(const CallTask& task) {
  const CallFormat& format = task.format;
  Nodes calls;
  for (const CallableFunction& function : task.functions) calls.push_back(json_call(format.json, function));
  const Node call = one_of(std::move(calls));
  const Node list =
      sequence({literal("["), gap(), repeated(call, pattern(",[ \\n]{0,4}"), task.several), gap(), literal("]")});
  const auto may_begin = [&](char byte) { return !task.mark.empty() || format.bare.find(byte) != std::string::npos; };
  Nodes forms;
  // Without an end of their own, calls follow each other behind one mark.
  const bool row = task.several && format.end.empty();
  if (may_begin('{')) forms.push_back(repeated(call, pattern("; ?"), row));
  if (may_begin('[')) forms.push_back(list);
  Nodes nodes = {one_of(std::move(forms))};
  if (!task.mark.empty()) nodes.insert(nodes.begin(), gap());
  if (!format.end.empty()) {
    nodes.push_back(gap());
    nodes.push_back(literal(format.end));
  }
  return sequence(std::move(nodes));
}

Node named_calls(const CallTask& task) {
  const CallFormat& format = task.format;
  Nodes calls;
  for (const CallableFunction& function : task.functions) calls.push_back(named_call(format.named, function));
  const Node call = one_of(std::move(calls));
  if (format.family == text::CallFamily::kMistral) return one_of({call, json_calls(task)});
  const Node marked = sequence({literal(format.named.call_begin), call});
  Nodes nodes = {task.mark == format.named.call_begin ? call : sequence({gap(), marked})};
  if (task.several) nodes.push_back(star(sequence({gap(), marked})));
  nodes.push_back(gap());
  nodes.push_back(literal(format.end));
  return sequence(std::move(nodes));
}

Node harmony_calls(const std::vector<CallableFunction>& functions) {
  Nodes calls;
  for (const CallableFunction& function : functions) {
    const std::string to = absl::StrCat(" to=functions.", function.name);
    const Node header = one_of(
        {literal(absl::StrCat("<|channel|>commentary", to)), literal(absl::StrCat(to, "<|channel|>commentary"))});
    calls.push_back(sequence({header, pattern(" ?"), optional(literal("<|constrain|>json")), literal("<|message|>"),
                              json(function.parameters), optional(literal("<|call|>"))}));
  }
  return one_of(std::move(calls));
}

}  // namespace polymath::api
