#include "commands/expert_balance.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "base/json.h"
#include "commands/flags/flag_values.h"
#include "commands/flags/json_keys.h"

namespace polymath::commands {
namespace {

constexpr std::string_view kKeys[] = {
    "window_size", "step_interval", "num_redundant_experts", "log_balancedness", "log_balancedness_interval",
    "use_async",   "policy",        "communicator"};

absl::Status check_built(const base::JsonObject& config) {
  constexpr std::pair<std::string_view, std::string_view> kBuilt[] = {{"policy", "default"}, {"communicator", "auto"}};
  for (const auto& [key, value] : kBuilt) {
    const base::JsonValue* given = config.if_contains(key);
    if (given == nullptr || given->is_null()) continue;
    if (given->is_string() && std::string_view(given->get_string()) == value) continue;
    return absl::UnimplementedError(absl::StrCat(std::string(key), ": only `", std::string(value), "` is built"));
  }
  const base::JsonValue* async = config.if_contains("use_async");
  if (async == nullptr || (async->is_bool() && async->get_bool())) return absl::OkStatus();
  return absl::UnimplementedError("use_async: experts always move beside running steps; it cannot be switched off");
}

bool has_routed_experts(const model::ModelConfig& config) {
  for (const auto& layer : config.layers) {
    for (const auto& ffn : layer.ffns) {
      if (ffn.router.n_experts > 1) return true;
    }
  }
  return false;
}

}  // namespace

absl::Status read_balance_config(std::string_view value, model::BalanceOptions& options) {
  ASSIGN_OR_RETURN(const base::JsonValue json, base::parse_json(value, {.depth_max = 8, .bytes_max = 1 << 16}));
  if (!json.is_object()) return absl::InvalidArgumentError("must be a JSON object");
  base::JsonReader j(json);
  RETURN_IF_ERROR(check_keys(json.get_object(), kKeys));
  RETURN_IF_ERROR(check_built(json.get_object()));
  const auto read = [&](const char* key, IntRange range, int& to) -> absl::Status {
    const int64_t n = j.i(key, to);
    RETURN_IF_ERROR(j.status());
    if (n < range.min || n > range.max) {
      return absl::InvalidArgumentError(absl::StrCat(key, " must be between ", range.min, " and ", range.max));
    }
    to = static_cast<int>(n);
    return absl::OkStatus();
  };
  RETURN_IF_ERROR(read("window_size", kBalanceSteps, options.window_steps));
  RETURN_IF_ERROR(read("step_interval", kBalanceSteps, options.interval_steps));
  RETURN_IF_ERROR(read("num_redundant_experts", kRedundantExperts, options.n_redundant));
  RETURN_IF_ERROR(read("log_balancedness_interval", kBalanceSteps, options.log_steps));
  options.logs = j.b("log_balancedness", options.logs);
  return j.status();
}

absl::Status check_balance(const RuntimeOptions& options, const model::ModelConfig& config,
                           const backend::Backend& backend) {
  if (!options.moves_experts) {
    return options.balance.n_redundant == 0 ? absl::OkStatus()
                                            : absl::InvalidArgumentError("--num-redundant-experts needs --enable-eplb");
  }
  if (!options.expert_parallel || options.tensor_parallel < 2) {
    return absl::InvalidArgumentError(
        "--enable-eplb needs --enable-expert-parallel, and --tensor-parallel-size 2 or more");
  }
  if (options.pipeline_parallel > 1) {
    return absl::UnimplementedError(
        "--enable-eplb with --pipeline-parallel-size: experts move between two steps, and stages always run some");
  }
  if (options.batch_invariant) {
    return absl::UnimplementedError(
        "--enable-eplb with --batch-invariant: an expert's move changes the order of sums over ranks");
  }
  if (!has_routed_experts(config)) {
    return absl::InvalidArgumentError(absl::StrCat("--enable-eplb: ", config.architecture, " has no routed experts"));
  }
  if (!backend.moves_experts()) {
    return absl::UnimplementedError(absl::StrCat("--enable-eplb: experts do not move between devices of ",
                                                 std::string(backend.name()), " yet; on the CPU they do"));
  }
  return absl::OkStatus();
}

}  // namespace polymath::commands
