// polymath tgi: serves as Text Generation Inference's launcher would, from its flags and variables.

#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "base/log.h"
#include "commands/tgi/launcher.h"
#include "commands/verbs.h"

namespace polymath::commands {
namespace {

std::optional<std::string> variable(std::string_view name) {
  const char* const value = std::getenv(std::string(name).c_str());
  return value == nullptr ? std::nullopt : std::optional<std::string>(value);
}

bool asks_for_help(const Arguments& arguments) {
  const auto end = std::find(arguments.begin(), arguments.end(), "--");
  return std::find_if(arguments.begin(), end, [](const auto& a) { return a == "--help" || a == "-h"; }) != end;
}

}  // namespace

int tgi(const Arguments& arguments) {
  if (asks_for_help(arguments)) {
    std::printf("polymath tgi --model-id MODEL [TGI's flags] [-- serve's flags]\n\n%s", launcher_markdown().c_str());
    return 0;
  }
  const auto plan = plan_launch(arguments, variable);
  if (!plan.ok()) return fail_flags(plan.status());
  for (const std::string& line : plan->lines) base::log_info("tgi", line);
  if (!plan->hub_cache.empty()) setenv("HF_HUB_CACHE", plan->hub_cache.c_str(), 1);
  return serve(plan->arguments);
}

}  // namespace polymath::commands
