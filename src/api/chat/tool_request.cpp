#include "api/chat/tool_request.h"

#include <algorithm>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "api/chat/messages.h"
#include "api/status.h"

namespace polymath::api {
namespace {

const base::JsonValue* find(const base::JsonObject& request, const char* name) {
  const auto* found = request.if_contains(name);
  return found == nullptr || found->is_null() ? nullptr : found;
}

// `functions` as `tools`.
absl::Status add_functions(const base::JsonValue& functions, const ApiLimits& limits, ToolRequest& out) {
  if (!functions.is_array()) return invalid("functions", "must be an array");
  base::JsonArray tools;
  for (const base::JsonValue& function : functions.get_array()) {
    tools.push_back(base::JsonObject{{"type", "function"}, {"function", function}});
  }
  auto checked = checked_tools({{"tools", std::move(tools)}}, limits);
  if (!checked.ok()) return invalid("functions", std::string(checked.status().message()));
  out.tools = *std::move(checked);
  out.legacy = true;
  out.parallel = false;
  return absl::OkStatus();
}

// {"type": "function", "function": {"name": "f"}}; of function_call: {"name": "f"}.
absl::Status parse_named(const base::JsonObject& choice, const char* field, ToolRequest& out) {
  const auto* holder = &choice;
  if (!out.legacy) {
    const auto* type = choice.if_contains("type");
    if (type == nullptr || *type != "function") {
      return not_built(field, "a choice of another type than function is not built");
    }
    const auto* inner = choice.if_contains("function");
    if (inner != nullptr && inner->is_object()) holder = &inner->get_object();
  }
  const auto* name = holder->if_contains("name");
  if (name == nullptr || !name->is_string() || name->get_string().empty()) return invalid(field, "names no function");
  out.function = std::string(name->get_string());
  out.forced = true;
  return absl::OkStatus();
}

absl::Status parse_choice(const base::JsonValue& choice, const char* field, ToolRequest& out) {
  if (choice == "none") {
    out.tools = nullptr;
    return absl::OkStatus();
  }
  if (choice == "auto") return absl::OkStatus();
  if (out.tools.is_null()) return invalid(field, "needs tools");
  if (choice.is_object()) return parse_named(choice.get_object(), field, out);
  if (choice != "required" || out.legacy) {
    return invalid(field, "must be none, auto, required, or an object that names a function");
  }
  out.forced = true;
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<ToolRequest> parse_tool_request(const base::JsonObject& request, const ApiLimits& limits) {
  ToolRequest out;
  ASSIGN_OR_RETURN(out.tools, checked_tools(request, limits));
  if (const auto* parallel = find(request, "parallel_tool_calls"); parallel != nullptr) {
    if (!parallel->is_bool()) return invalid("parallel_tool_calls", "must be true or false");
    out.parallel = parallel->get_bool();
  }
  const char* choice_field = "tool_choice";
  if (const auto* functions = find(request, "functions"); functions != nullptr && out.tools.is_null()) {
    RETURN_IF_ERROR(add_functions(*functions, limits, out));
    choice_field = "function_call";
  }
  if (const auto* choice = find(request, choice_field); choice != nullptr) {
    RETURN_IF_ERROR(parse_choice(*choice, choice_field, out));
  }
  return out;
}

}  // namespace polymath::api
