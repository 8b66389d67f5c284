#pragma once

// `polymath tgi`: flags and variables of Text Generation Inference's launcher (3.3.5) -> serve's flags.
//
//   MAX_TOTAL_TOKENS=4096 polymath tgi --model-id org/name -- --allow-anonymous
//
// A flag wins over its variable, as in TGI. What is behind `--` goes to serve as it is. A line for each says what it
// becomes, or why it has no effect. What is not built is refused by name.

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace polymath::commands {

enum class LauncherKind {
  kBecomes,   // `what` is serve's flag
  kNoEffect,  // `what` says why
  kRefused,   // the same; a neutral value asks for nothing
  kCount,
};

struct LauncherRow {
  std::string_view name;  // the variable, "MAX_TOTAL_TOKENS"; its flag is --max-total-tokens
  LauncherKind kind = LauncherKind::kBecomes;
  std::string_view what;
  std::string_view fallback;  // TGI's default, where this server's differs; empty: none
  // kBecomes: the value as serve's arguments; empty: nothing is to change. Null: `what` and the value.
  absl::StatusOr<std::vector<std::string>> (*convert)(const std::string& value) = nullptr;
  std::string_view neutral;  // kRefused: values, separated by blanks, that ask for nothing
  bool is_switch = false;    // its flag takes no value
  bool is_secret = false;    // its value is not shown
};
std::span<const LauncherRow> launcher_rows();

struct LauncherPlan {
  std::vector<std::string> arguments;  // of serve
  std::vector<std::string> lines;      // one for each variable, flag and default
  std::string hub_cache;               // HF_HUB_CACHE, if it is to be set
};

// The value of an environment variable; absent: not set.
using Environment = std::function<std::optional<std::string>(std::string_view name)>;

// kInvalidArgument, kUnimplemented: a flag or variable, named.
absl::StatusOr<LauncherPlan> plan_launch(const std::vector<std::string>& arguments, const Environment& environment);

// The rows as a table in Markdown, for --help and docs/operate/tgi.md.
std::string launcher_markdown();

}  // namespace polymath::commands
