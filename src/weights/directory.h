#pragma once

// The files of a model directory, by name. Only config.json and the shards' index are opened here.

#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/status.h"
#include "weights/checkpoint.h"

namespace polymath::weights {

// Names of the regular files in `directory`, sorted. kNotFound: no such directory.
absl::StatusOr<std::vector<std::string>> list_files(const std::string& directory);

// The safetensors files to open, in order; open_checkpoint() states the rule.
struct WeightFiles {
  std::vector<std::string> paths;
  // (tensor, path) as the index has it, true or not; empty: there is no index.
  std::vector<std::pair<std::string, std::string>> index;
};
// Of a shards' index in `directory`, whose files are `names`, sorted. kNotFound: a shard is missing.
absl::StatusOr<WeightFiles> parse_index(const base::JsonValue& root, const std::string& directory,
                                        const std::vector<std::string>& names, const CheckpointLimits& limits);
absl::StatusOr<WeightFiles> find_weight_files(const std::string& directory, const CheckpointLimits& limits);

// A model's own code: its *.py files, and "config.json: auto_map". Empty: it has none.
std::vector<std::string> code_in(const std::string& directory);
// Logs in one line that this code is never run. Silent if there is none.
void warn_about_code(const std::string& directory);

}  // namespace polymath::weights
