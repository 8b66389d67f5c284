#pragma once

// --lora-modules: LoRA adapters by name.
//
//   NAME=PATH    {"name": "NAME", "path": "PATH", "base_model_name": "MODEL"}
//
// PATH is a directory in PEFT's format, or org/name in the local Hugging Face cache.

#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "commands/options.h"

namespace polymath::commands {

constexpr size_t kAdapterNameBytesMax = 256;   // longer: refused
constexpr size_t kAdapterPathBytesMax = 4096;  // longer: refused
constexpr int kAdaptersMax = 64;               // more --lora-modules or --max-loras: refused
constexpr int kAdapterRankMax = 512;           // a larger --max-lora-rank: refused

// One value of --lora-modules. kInvalidArgument: neither form, an unknown or missing key, or out of bounds.
absl::StatusOr<AdapterModule> parse_adapter(std::string_view value);

// --enable-lora and --lora-modules need each other; names must be unique and differ from the served names.
// `served_name`: the first served name.
absl::Status check_adapters(const ModelOptions& options, std::string_view served_name);

// The directory of each module, in order. kNotFound: no such directory, or no adapter_config.json in it.
// kInvalidArgument: the rank is above --max-lora-rank.
absl::StatusOr<std::vector<std::string>> resolve_adapters(const AdapterOptions& options);

}  // namespace polymath::commands
