#include "commands/tgi/launcher.h"

#include <algorithm>
#include <cctype>
#include <map>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "base/edit_distance.h"
#include "commands/flags/flag_values.h"

namespace polymath::commands {
namespace {

using Words = std::vector<std::string>;

constexpr size_t kShownBytesMax = 160;                    // of what a setting becomes; a template is longer
constexpr const char* kClientNames[] = {"tgi", "dummy"};  // what TGI's clients call any model

// "MAX_TOTAL_TOKENS" -> "--max-total-tokens".
std::string flag_of(const LauncherRow& row) {
  std::string flag = absl::StrCat("--", std::string(row.name));
  std::transform(flag.begin(), flag.end(), flag.begin(),
                 [](unsigned char c) { return c == '_' ? '-' : std::tolower(c); });
  return flag;
}

const LauncherRow* row_of(std::string_view flag) {
  if (flag == "-p") flag = "--port";
  for (const LauncherRow& row : launcher_rows()) {
    if (flag_of(row) == flag) return &row;
  }
  return nullptr;
}

absl::Status unknown_flag(std::string_view flag) {
  const auto rows = launcher_rows();
  const auto nearest = std::min_element(rows.begin(), rows.end(), [&](const LauncherRow& a, const LauncherRow& b) {
    return base::edit_distance(flag, flag_of(a)) < base::edit_distance(flag, flag_of(b));
  });
  return absl::InvalidArgumentError(absl::StrCat("TGI has no flag ", std::string(flag), "; the nearest is ",
                                                 flag_of(*nearest), ". Flags of serve go behind `--`"));
}

// What is set, by row: by a flag, a variable, or TGI's default.
struct Setting {
  const LauncherRow* row;
  std::string value;
  std::string origin;  // as the line tells it: "--port", "PORT"
  bool by_default = false;
};

struct CommandLine {
  std::map<std::string_view, Words> values;  // by the row's name
  Words rest;                                // behind `--`
};

absl::StatusOr<CommandLine> read_flags(const Words& arguments) {
  CommandLine out;
  for (auto at = arguments.begin(); at != arguments.end(); ++at) {
    if (*at == "--") {
      out.rest.assign(at + 1, arguments.end());
      break;
    }
    const size_t equals = at->find('=');
    const std::string flag = at->substr(0, equals);
    const LauncherRow* const row = row_of(flag);
    if (row == nullptr) return unknown_flag(flag);
    Words& values = out.values[row->name];
    if (equals != std::string::npos) {
      values.push_back(at->substr(equals + 1));
    } else if (row->is_switch) {
      values.emplace_back("true");
    } else if (++at == arguments.end()) {
      return absl::InvalidArgumentError(absl::StrCat(flag, " needs a value"));
    } else {
      values.push_back(*at);
    }
  }
  return out;
}

std::vector<Setting> settings_of(const CommandLine& flags, const Environment& environment) {
  std::vector<Setting> out;
  for (const LauncherRow& row : launcher_rows()) {
    const auto flag = flags.values.find(row.name);
    const std::optional<std::string> variable = environment(row.name);
    if (flag != flags.values.end()) {
      const bool is_list = row.name == "CORS_ALLOW_ORIGIN";
      out.push_back({&row, is_list ? absl::StrJoin(flag->second, ",") : flag->second.back(), flag_of(row)});
    } else if (variable.has_value() && !variable->empty()) {
      out.push_back({&row, *variable, std::string(row.name)});
    } else if (!row.fallback.empty()) {
      out.push_back({&row, std::string(row.fallback), std::string(row.name), /*by_default=*/true});
    }
  }
  return out;
}

const Setting* find(const std::vector<Setting>& settings, std::string_view name) {
  const auto at = std::find_if(settings.begin(), settings.end(), [&](const Setting& s) { return s.row->name == name; });
  return at == settings.end() ? nullptr : &*at;
}

std::string setting_text(const Setting& setting) {
  return absl::StrCat(setting.origin, "=", setting.row->is_secret ? "***" : setting.value,
                      setting.by_default ? " (TGI's default)" : "");
}

bool asks_nothing(const Setting& setting) {
  const Words neutral = absl::StrSplit(std::string(setting.row->neutral), ' ', absl::SkipEmpty());
  if (std::find(neutral.begin(), neutral.end(), setting.value) != neutral.end()) return true;
  const auto flag = parse_bool(setting.value);
  return setting.row->is_switch && flag.ok() && !*flag;
}

// As TGI's launcher checks them.
absl::Status check_lengths(const std::vector<Setting>& settings) {
  const Setting* input = find(settings, "MAX_INPUT_TOKENS");
  const Setting* const length = find(settings, "MAX_INPUT_LENGTH");
  if (input != nullptr && length != nullptr) {
    return absl::InvalidArgumentError("MAX_INPUT_TOKENS and MAX_INPUT_LENGTH are the same; one of them must be left");
  }
  if (input == nullptr) input = length;
  const Setting* const total = find(settings, "MAX_TOTAL_TOKENS");
  if (input == nullptr || total == nullptr) return absl::OkStatus();
  ASSIGN_OR_RETURN(const int64_t input_tokens, parse_int(input->value, {1, INT32_MAX}));
  ASSIGN_OR_RETURN(const int64_t total_tokens, parse_int(total->value, {2, INT32_MAX}));
  if (input_tokens < total_tokens) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(input->origin, " must be below MAX_TOTAL_TOKENS: ", input_tokens, ", ", total_tokens));
}

// The two variables make one object: without a factor 1, without a kind linear.
absl::Status add_rope(const std::vector<Setting>& settings, LauncherPlan& plan) {
  const Setting* const scaling = find(settings, "ROPE_SCALING");
  const Setting* const factor = find(settings, "ROPE_FACTOR");
  if (scaling == nullptr && factor == nullptr) return absl::OkStatus();
  const std::string kind = scaling == nullptr ? "linear" : scaling->value;
  if (kind != "linear" && kind != "dynamic")
    return absl::InvalidArgumentError("ROPE_SCALING: must be linear or dynamic");
  const auto number = parse_number(factor == nullptr ? "1.0" : factor->value, 1, 1e6);
  if (!number.ok()) return absl::InvalidArgumentError(absl::StrCat("ROPE_FACTOR: ", number.status().message()));
  const std::string json = absl::StrCat(R"({"rope_scaling":{"rope_type":")", kind, R"(","factor":)", *number, "}}");
  plan.arguments.insert(plan.arguments.end(), {"--hf-overrides", json});
  plan.lines.push_back(absl::StrCat("ROPE_SCALING=", kind, " ROPE_FACTOR=", *number, " -> --hf-overrides ", json));
  return absl::OkStatus();
}

absl::Status named(const Setting& setting, const absl::Status& status) {
  return absl::Status(status.code(), absl::StrCat(setting.origin, ": ", status.message()));
}

absl::Status add(const Setting& setting, LauncherPlan& plan) {
  const LauncherRow& row = *setting.row;
  const std::string what(row.what);
  if (row.kind == LauncherKind::kRefused) {
    if (asks_nothing(setting)) return absl::OkStatus();
    return named(setting, absl::UnimplementedError(what));
  }
  if (row.kind == LauncherKind::kNoEffect) {
    plan.lines.push_back(absl::StrCat(setting_text(setting), " has no effect: ", what));
    return absl::OkStatus();
  }
  if (row.name == "HUGGINGFACE_HUB_CACHE") {
    plan.hub_cache = setting.value;
    plan.lines.push_back(absl::StrCat(setting_text(setting), " -> ", what, "=", setting.value));
    return absl::OkStatus();
  }
  Words words = {what, setting.value};
  if (row.convert != nullptr) {
    auto converted = row.convert(setting.value);
    if (!converted.ok()) return named(setting, converted.status());
    words = *std::move(converted);
  }
  std::string becomes = words.empty()   ? "nothing to change"
                        : row.is_secret ? absl::StrCat(what, " ***")
                                        : absl::StrJoin(words, " ");
  if (becomes.size() > kShownBytesMax) becomes = becomes.substr(0, kShownBytesMax) + "...";
  plan.lines.push_back(absl::StrCat(setting_text(setting), " -> ", becomes));
  plan.arguments.insert(plan.arguments.end(), words.begin(), words.end());
  return absl::OkStatus();
}

bool has_flag(const Words& words, std::string_view flag) {
  return std::any_of(words.begin(), words.end(), [&](const std::string& word) {
    return word == flag || word.starts_with(absl::StrCat(std::string(flag), "="));
  });
}

// Ways of TGI's that no flag of its says.
void add_habits(const std::string& model, const Words& rest, bool has_key, LauncherPlan& plan) {
  plan.arguments.insert(plan.arguments.end(),
                        {"--generation-config", "vllm", "--metrics-compat", "tgi", "--served-model-name", model});
  plan.arguments.insert(plan.arguments.end(), std::begin(kClientNames), std::end(kClientNames));
  plan.lines.emplace_back("TGI takes no sampling defaults from generation_config.json -> --generation-config vllm");
  plan.lines.emplace_back("TGI's metrics stand beside vLLM's -> --metrics-compat tgi");
  plan.lines.push_back(absl::StrCat("TGI's clients call any model ", absl::StrJoin(kClientNames, " or "),
                                    " -> --served-model-name ", model, " ", absl::StrJoin(kClientNames, " ")));
  if (has_key || has_flag(rest, "--allow-anonymous") || has_flag(rest, "--api-key-file")) return;
  plan.lines.emplace_back(
      "without API_KEY only this machine is answered, unlike in TGI: set API_KEY, or end the command with "
      "`-- --allow-anonymous`");
}

}  // namespace

absl::StatusOr<LauncherPlan> plan_launch(const Words& arguments, const Environment& environment) {
  ASSIGN_OR_RETURN(const CommandLine flags, read_flags(arguments));
  const std::vector<Setting> settings = settings_of(flags, environment);
  const Setting* const model = find(settings, "MODEL_ID");
  if (model == nullptr) return absl::InvalidArgumentError("no model: --model-id or MODEL_ID names one");
  RETURN_IF_ERROR(check_lengths(settings));
  LauncherPlan plan;
  for (const Setting& setting : settings) {
    if (!setting.row->name.starts_with("ROPE_")) RETURN_IF_ERROR(add(setting, plan));
  }
  RETURN_IF_ERROR(add_rope(settings, plan));
  const bool has_key = find(settings, "API_KEY") != nullptr || environment("VLLM_API_KEY").has_value();
  add_habits(model->value, flags.rest, has_key, plan);
  plan.arguments.insert(plan.arguments.end(), flags.rest.begin(), flags.rest.end());
  return plan;
}

std::string launcher_markdown() {
  std::string out = "| TGI | becomes | TGI's default |\n|---|---|---|\n";
  for (const LauncherRow& row : launcher_rows()) {
    const std::string what(row.what);
    const std::string becomes = row.kind == LauncherKind::kBecomes    ? absl::StrCat("`", what, "`")
                                : row.kind == LauncherKind::kNoEffect ? absl::StrCat("no effect: ", what)
                                                                      : absl::StrCat("refused: ", what);
    absl::StrAppend(&out, "| `", std::string(row.name), "` | ", becomes, " | ", std::string(row.fallback), " |\n");
  }
  return out;
}

}  // namespace polymath::commands
