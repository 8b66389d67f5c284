#pragma once

// The command line: tables of flags (flag_table.cpp lists them) and its parser.
//
// vLLM's flags are taken in both spellings (--max-model-len, --max_model_len) and both forms (--flag value,
// --flag=value). A flag of vLLM's that is not built refuses with a sentence, unless its value changes nothing.
// An unknown flag is an error that names the nearest one. Nothing is ignored in silence.

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "commands/options.h"

namespace polymath::commands {

enum Verb : uint16_t {
  kServe = 1,
  kRun = 2,
  kInspect = 4,
  kBench = 8,
  kKernels = 16,
  kBenchServe = 32,
  kBenchQuality = 64,
  kQuantize = 128,
  kPlan = 256,
  kDoctor = 512,
  kDeploy = 1024,
  kPull = 2048,
};

enum class FlagKind {
  kValue,   // takes one; of several the last counts
  kSwitch,  // --x or --no-x
  kList,    // takes one or more
  kCount,
};

struct Flag {
  std::string_view name;       // "max-model-len"
  std::string_view shorthand;  // "-tp", or empty
  FlagKind kind = FlagKind::kValue;
  uint16_t verbs = 0;         // Verb bits
  std::string_view value;     // its value's name in the help: "TOKENS"
  std::string_view fallback;  // the default, in words
  std::string_view help;      // one sentence or two, limits included; of a refused flag: why
  // Stores `value` ("true" or "false" for a switch; once per item for a list). Null: a refused flag.
  absl::Status (*apply)(Options&, std::string_view value) = nullptr;
  std::string_view neutral;  // of a refused flag: values, separated by blanks, that ask for nothing
  bool developer = false;    // for developers only; listed apart
};

std::span<const Flag> flag_table();

// kOutOfRange: help was asked for and printed. kInvalidArgument, kUnimplemented: a sentence that names the flag.
absl::StatusOr<Options> parse_flags(Verb verb, const std::vector<std::string>& arguments);

// The variables that vLLM's users set: VLLM_API_KEY, VLLM_BATCH_INVARIANT, VLLM_CPU_KVCACHE_SPACE,
// VLLM_LOGGING_LEVEL, VLLM_LOG_STATS_INTERVAL, VLLM_MAX_STOP_STRINGS, VLLM_PP_LAYER_PARTITION. A flag
// wins over its variable.
absl::Status apply_environment(Options& options);

// docs/operate/flags.md.
std::string flags_markdown();

}  // namespace polymath::commands
