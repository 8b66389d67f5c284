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

// True: calls are permitted. `field`: its name.
absl::StatusOr<bool> parse_choice(const base::JsonValue& choice, const char* field) {
  if (choice == "none") return false;
  if (choice == "auto") return true;
  if (choice == "required" || choice.is_object()) {
    return not_built(field, "forced tool calls are not built yet; none and auto are");
  }
  return invalid(field, "must be none, auto, required, or an object that names a function");
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
    ASSIGN_OR_RETURN(const bool permitted, parse_choice(*choice, choice_field));
    if (!permitted) out.tools = nullptr;
  }
  return out;
}

}  // namespace polymath::api
