#include "commands/flags/flags.h"

#include <algorithm>
#include <cctype>
#include <cstdio>
#include <cstdlib>
#include <deque>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/edit_distance.h"
#include "base/log.h"
#include "commands/flags/flag_values.h"
#include "parallel/nodes/node_mesh.h"

namespace polymath::commands {
namespace {

enum Group { kFlagsGroup, kDeveloperGroup, kRefusedGroup };
constexpr const char* kGroups[] = {"Flags", "For developers", "Known to vLLM, not built yet (asking for them refuses)"};

Group group_of(const Flag& flag) {
  return flag.apply == nullptr ? kRefusedGroup : flag.developer ? kDeveloperGroup : kFlagsGroup;
}

// --max_model_len=8 -> --max-model-len=8; -tp -> --tensor-parallel-size. Values stay as they are.
std::string normalise(const std::string& argument) {
  if (argument.size() < 2 || argument[0] != '-') return argument;
  const size_t equals = std::min(argument.find('='), argument.size());
  std::string name = argument.substr(0, equals);
  const std::string rest = argument.substr(equals);
  for (const Flag& flag : flag_table()) {
    if (!flag.shorthand.empty() && flag.shorthand == name) return absl::StrCat("--", std::string(flag.name), rest);
  }
  if (name.starts_with("--")) std::replace(name.begin(), name.end(), '_', '-');
  return name + rest;
}

absl::Status unknown_flag(std::string_view argument, Verb verb) {
  std::string_view name = argument.substr(0, argument.find('='));
  while (name.starts_with('-')) name.remove_prefix(1);
  const Flag* nearest = nullptr;
  size_t least = SIZE_MAX;
  for (const Flag& flag : flag_table()) {
    if ((flag.verbs & verb) == 0) continue;
    const size_t distance = base::edit_distance(name, flag.name);
    if (distance < least) {
      least = distance;
      nearest = &flag;
    }
  }
  const std::string hint = nearest == nullptr ? "" : absl::StrCat("; the nearest is --", std::string(nearest->name));
  return absl::InvalidArgumentError(absl::StrCat("there is no flag --", std::string(name), hint));
}

absl::Status apply(Options& options, const Flag& flag, const std::string& value) {
  absl::Status status;
  if (flag.apply != nullptr) {
    status = flag.apply(options, value);
  } else {
    const std::vector<std::string> neutral = absl::StrSplit(std::string(flag.neutral), ' ', absl::SkipEmpty());
    if (std::find(neutral.begin(), neutral.end(), value) != neutral.end()) return absl::OkStatus();
    if (flag.kind == FlagKind::kSwitch && value == "false") return absl::OkStatus();
    status = absl::UnimplementedError(std::string(flag.help));
  }
  if (status.ok()) return status;
  return absl::Status(status.code(), absl::StrCat("--", std::string(flag.name), ": ", status.message()));
}

std::string help_text(const Flag& flag) {
  const std::string fallback =
      flag.fallback.empty() ? "" : absl::StrCat(" [default: ", std::string(flag.fallback), "]");
  return absl::StrCat(std::string(flag.help), fallback);
}

// One of CLI11's options, and the values that it found.
struct Binding {
  const Flag* flag = nullptr;
  CLI::Option* option = nullptr;
  std::vector<std::string> values;
};

void bind(CLI::App& app, const Flag& flag, std::deque<Binding>& bindings) {
  Binding& binding = bindings.emplace_back();
  binding.flag = &flag;
  const std::string name = absl::StrCat("--", std::string(flag.name));
  if (flag.kind == FlagKind::kSwitch) {
    const std::string both = absl::StrCat(name, ",!--no-", std::string(flag.name));
    binding.option = app.add_flag(both, binding.values, help_text(flag));
  } else {
    binding.option = app.add_option(name, binding.values, help_text(flag));
    binding.option->type_name(std::string(flag.value));
    binding.option->expected(1, flag.kind == FlagKind::kList ? 1 << 10 : 1);
  }
  binding.option->multi_option_policy(flag.kind == FlagKind::kList ? CLI::MultiOptionPolicy::TakeAll
                                                                   : CLI::MultiOptionPolicy::TakeLast);
  binding.option->group(kGroups[group_of(flag)]);
}

const char* verb_name(Verb verb) {
  switch (verb) {
    case kServe:
      return "serve";
    case kRun:
      return "run";
    case kInspect:
      return "inspect";
    case kBench:
      return "bench";
    case kKernels:
      return "kernels";
    case kBenchServe:
      return "bench serve";
    case kBenchQuality:
      return "bench quality";
    case kQuantize:
      return "quantize";
    case kPlan:
      return "plan";
    case kDoctor:
      return "doctor";
    case kDeploy:
      return "deploy";
    case kPull:
      return "pull";
  }
  return "";
}

const char* positional_help(Verb verb) {
  if (verb == kBenchServe) return "The name that requests carry; without one the first that the server lists";
  if (verb == kDoctor) return "A server's URL, or a model on disk; without one this machine alone";
  if (verb == kPull)
    return "A repository of the Hugging Face hub: org/name, or org/name:QUANT for one of its GGUF models";
  if (verb == kPlan || verb == kDeploy)
    return "A model directory, GGUF file, config.json, org/name of the local cache, or a known model";
  return "A model directory or GGUF file, or org/name from the local Hugging Face cache";
}

// Without one kernels lists every variant, bench serve asks the server, and doctor looks at the machine. plan --compare
// has others, deploy --check none.
bool needs_model(Verb verb, const Options& options) {
  if (verb == kKernels || verb == kBenchServe || verb == kDoctor) return false;
  return options.plan.compare.empty() && options.deploy.check.empty();
}

absl::Status parse_with(CLI::App& app, Verb verb, const std::vector<std::string>& arguments) {
  std::vector<std::string> reversed;  // CLI11 takes them from the back
  for (auto it = arguments.rbegin(); it != arguments.rend(); ++it) reversed.push_back(normalise(*it));
  try {
    app.parse(reversed);
  } catch (const CLI::CallForHelp&) {
    std::fputs(app.help().c_str(), stdout);
    return absl::OutOfRangeError("help");
  } catch (const CLI::ParseError& error) {
    return absl::InvalidArgumentError(error.what());
  }
  for (const std::string& rest : app.remaining()) {
    if (rest.starts_with('-')) return unknown_flag(rest, verb);
    return absl::InvalidArgumentError(absl::StrCat("`", rest, "` is one argument too many"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Options> parse_flags(Verb verb, const std::vector<std::string>& arguments) {
  CLI::App app{"", absl::StrCat("polymath ", verb_name(verb))};
  app.allow_extras();
  app.set_help_flag("-h,--help", "This page");
  std::string positional;
  app.add_option("model", positional, positional_help(verb));
  std::string out;
  if (verb == kQuantize) app.add_option("out", out, "The file or directory to write");
  std::deque<Binding> bindings;
  for (const Flag& flag : flag_table()) {
    if ((flag.verbs & verb) != 0) bind(app, flag, bindings);
  }
  RETURN_IF_ERROR(parse_with(app, verb, arguments));
  Options options;
  RETURN_IF_ERROR(apply_environment(options));
  if (verb != kServe) options.runtime.nodes = {};
  for (const Binding& binding : bindings) {
    if (binding.option->count() == 0) continue;
    const std::vector<std::string> values = binding.option->results();
    const size_t first = binding.flag->kind == FlagKind::kList ? 0 : values.size() - 1;
    for (size_t i = first; i < values.size(); ++i) RETURN_IF_ERROR(apply(options, *binding.flag, values[i]));
  }
  if (!positional.empty()) {
    if (!options.model.name.empty() && options.model.name != positional) {
      return absl::InvalidArgumentError("two models: one as --model, another without a flag");
    }
    options.model.name = positional;
  }
  options.quantize.out = out;
  if (options.model.name.empty() && needs_model(verb, options)) {
    return absl::InvalidArgumentError("no model; name a directory, or org/name");
  }
  return options;
}

namespace {

// Of LeaderWorkerSet and of OpenMPI's mpirun. Flags say more, and count.
template <int NodeSettings::*field>
absl::Status set_environment_nodes(Options& o, const std::string& value) {
  ASSIGN_OR_RETURN(const int64_t n, parse_int(value, {0, parallel::NodeMesh::kNodesMax}));
  o.runtime.nodes.*field = static_cast<int>(n);
  return absl::OkStatus();
}

}  // namespace

absl::Status apply_environment(Options& options) {
  struct Variable {
    const char* name;
    absl::Status (*apply)(Options&, const std::string& value);
    bool may_be_empty = false;  // else an empty one is none
  };
  static constexpr Variable kVariables[] = {
      {"VLLM_API_KEY",
       [](Options& o, const std::string& value) {
         o.server.environment_api_key = value;  // an empty one is refused by serve
         return absl::OkStatus();
       },
       true},
      {"VLLM_BATCH_INVARIANT",
       [](Options& o, const std::string& value) -> absl::Status {
         ASSIGN_OR_RETURN(o.runtime.batch_invariant, parse_bool(value));
         return absl::OkStatus();
       }},
      {"VLLM_CPU_KVCACHE_SPACE",
       [](Options& o, const std::string& value) -> absl::Status {
         ASSIGN_OR_RETURN(const int64_t gib, parse_int(value, {0, 1 << 20}));
         o.runtime.kv_bytes = gib << 30;
         return absl::OkStatus();
       }},
      {"VLLM_LOGGING_LEVEL",
       [](Options&, const std::string& value) {
         return base::set_log_level(value) ? absl::OkStatus() : absl::InvalidArgumentError("not a level");
       }},
      {"VLLM_LOG_STATS_INTERVAL",
       [](Options& o, const std::string& value) -> absl::Status {
         ASSIGN_OR_RETURN(o.runtime.metrics.log_seconds, parse_number(value, 1, 86400));
         return absl::OkStatus();
       }},
      {"LWS_GROUP_SIZE", set_environment_nodes<&NodeSettings::size>},
      {"LWS_LEADER_ADDRESS",
       [](Options& o, const std::string& value) {
         o.runtime.nodes.host = value;
         return absl::OkStatus();
       }},
      {"LWS_WORKER_INDEX", set_environment_nodes<&NodeSettings::at>},
      {"OMPI_COMM_WORLD_RANK", set_environment_nodes<&NodeSettings::at>},
      {"OMPI_COMM_WORLD_SIZE", set_environment_nodes<&NodeSettings::size>},
      {"POLYMATH_NODE_SECRET",
       [](Options& o, const std::string& value) {
         o.runtime.nodes.secret = value;
         return absl::OkStatus();
       }},
      {"VLLM_PP_LAYER_PARTITION",
       [](Options& o, const std::string& value) -> absl::Status {
         ASSIGN_OR_RETURN(o.runtime.pipeline_layers, parse_layer_counts(value));
         return absl::OkStatus();
       }},
      {"VLLM_MAX_STOP_STRINGS",
       [](Options& o, const std::string& value) -> absl::Status {
         ASSIGN_OR_RETURN(const int64_t n, parse_int(value, {1, 1024}));
         o.server.stop_strings = static_cast<int>(n);
         return absl::OkStatus();
       }},
  };
  for (const Variable& variable : kVariables) {
    const char* value = std::getenv(variable.name);
    if (value == nullptr || (*value == '\0' && !variable.may_be_empty)) continue;
    const absl::Status status = variable.apply(options, value);
    if (!status.ok()) return absl::InvalidArgumentError(absl::StrCat(variable.name, ": ", status.message()));
  }
  return absl::OkStatus();
}

std::string flags_markdown() {
  std::string out;
  const auto rows = [&](Group group) {
    for (const Flag& flag : flag_table()) {
      if (group_of(flag) != group) continue;
      const std::string verbs =
          absl::StrCat((flag.verbs & kServe) != 0 ? "serve " : "", (flag.verbs & kRun) != 0 ? "run " : "",
                       (flag.verbs & kInspect) != 0 ? "inspect " : "", (flag.verbs & kBench) != 0 ? "bench " : "",
                       (flag.verbs & kBenchServe) != 0 ? "bench-serve " : "",
                       (flag.verbs & kBenchQuality) != 0 ? "bench-quality " : "",
                       (flag.verbs & kQuantize) != 0 ? "quantize " : "", (flag.verbs & kPlan) != 0 ? "plan " : "",
                       (flag.verbs & kDoctor) != 0 ? "doctor " : "", (flag.verbs & kDeploy) != 0 ? "deploy " : "",
                       (flag.verbs & kPull) != 0 ? "pull " : "", (flag.verbs & kKernels) != 0 ? "kernels" : "");
      const std::string shorthand = flag.shorthand.empty() ? "" : absl::StrCat(", `", std::string(flag.shorthand), "`");
      const std::string value = flag.value.empty() ? "" : absl::StrCat(" ", std::string(flag.value));
      absl::StrAppend(&out, "| `--", std::string(flag.name), value, "`", shorthand, " | ", verbs, " | ",
                      std::string(group == kRefusedGroup ? flag.neutral : flag.fallback), " | ", std::string(flag.help),
                      " |\n");
    }
  };
  constexpr const char* kHead = "| flag | verbs | default | meaning |\n|---|---|---|---|\n";
  absl::StrAppend(&out, kHead);
  rows(kFlagsGroup);
  absl::StrAppend(&out, "\n## For developers\n\n", kHead);
  rows(kDeveloperGroup);
  absl::StrAppend(&out, "\n## Known to vLLM, not built\n\nThey refuse, unless the value asks for nothing.\n\n",
                  "| flag | verbs | accepted values | the refusal |\n|---|---|---|---|\n");
  rows(kRefusedGroup);
  return out;
}

}  // namespace polymath::commands
