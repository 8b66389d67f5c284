#include "commands/adapters.h"

#include <algorithm>
#include <set>

#include "absl/strings/str_cat.h"
#include "base/json.h"
#include "weights/checkpoint.h"

namespace polymath::commands {
namespace {

absl::Status check_module(const AdapterModule& module) {
  if (module.name.empty() || module.name.size() > kAdapterNameBytesMax) {
    return absl::InvalidArgumentError(absl::StrCat("an adapter's name has 1 to ", kAdapterNameBytesMax, " bytes"));
  }
  if (module.path.empty() || module.path.size() > kAdapterPathBytesMax) {
    return absl::InvalidArgumentError(absl::StrCat("an adapter's path has 1 to ", kAdapterPathBytesMax, " bytes"));
  }
  return absl::OkStatus();
}

absl::StatusOr<AdapterModule> parse_json_module(std::string_view value) {
  ASSIGN_OR_RETURN(const base::JsonValue json, base::parse_json(value, {.depth_max = 4, .bytes_max = 1 << 16}));
  base::JsonReader j(json);
  RETURN_IF_ERROR(j.status());
  for (const auto& member : json.get_object()) {
    const std::string_view key(member.key().data(), member.key().size());
    if (key != "name" && key != "path" && key != "base_model_name") {
      return absl::InvalidArgumentError(absl::StrCat("there is no key `", std::string(key.substr(0, 64)), "`"));
    }
  }
  AdapterModule module{.name = j.s("name"), .path = j.s("path"), .base_model = j.s("base_model_name", "")};
  RETURN_IF_ERROR(j.status());
  return module;
}

// "r" of adapter_config.json; 0: absent, which loading refuses later.
absl::StatusOr<int> adapter_rank(const std::string& directory) {
  ASSIGN_OR_RETURN(const base::JsonValue json, base::read_json_file(directory + "/adapter_config.json", {}));
  base::JsonReader j(json, directory + "/adapter_config.json");
  const int rank = j.i("r", 0);
  RETURN_IF_ERROR(j.status());
  return rank;
}

}  // namespace

absl::StatusOr<AdapterModule> parse_adapter(std::string_view value) {
  AdapterModule module;
  const size_t equals = value.find('=');
  if (value.starts_with('{')) {
    ASSIGN_OR_RETURN(module, parse_json_module(value));
  } else if (equals != std::string_view::npos) {
    module = {.name = std::string(value.substr(0, equals)), .path = std::string(value.substr(equals + 1))};
  } else {
    return absl::InvalidArgumentError(R"(takes NAME=PATH or {"name": ..., "path": ...})");
  }
  RETURN_IF_ERROR(check_module(module));
  return module;
}

absl::Status check_adapters(const ModelOptions& options, std::string_view served_name) {
  const AdapterOptions& adapters = options.adapters;
  if (!adapters.enabled) {
    if (adapters.modules.empty() && !adapters.n_max.has_value() && !adapters.rank_max.has_value()) {
      return absl::OkStatus();
    }
    return absl::InvalidArgumentError("--lora-modules, --max-loras and --max-lora-rank need --enable-lora");
  }
  if (adapters.modules.empty()) {
    return absl::InvalidArgumentError("--enable-lora needs --lora-modules: adapters are loaded at start");
  }
  const auto n_max = static_cast<size_t>(adapters.n_max.value_or(kAdaptersMax));
  if (adapters.modules.size() > n_max) {
    return absl::InvalidArgumentError(
        absl::StrCat("--lora-modules names ", adapters.modules.size(), " adapters; --max-loras is ", n_max));
  }
  std::set<std::string_view> names(options.served_names.begin(), options.served_names.end());
  names.insert(served_name);
  for (const AdapterModule& module : adapters.modules) {
    if (names.insert(module.name).second) continue;
    return absl::InvalidArgumentError(absl::StrCat("--lora-modules: the name `", module.name, "` is taken"));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<std::string>> resolve_adapters(const AdapterOptions& options) {
  std::vector<std::string> directories;
  for (const AdapterModule& module : options.modules) {
    ASSIGN_OR_RETURN(std::string directory, weights::resolve_model(module.path, ""));
    ASSIGN_OR_RETURN(const int rank, adapter_rank(directory));
    const int rank_max = options.rank_max.value_or(kAdapterRankDefault);
    if (rank > rank_max) {
      return absl::InvalidArgumentError(
          absl::StrCat("the adapter `", module.name, "` has rank ", rank, "; --max-lora-rank is ", rank_max));
    }
    directories.push_back(std::move(directory));
  }
  return directories;
}

}  // namespace polymath::commands
