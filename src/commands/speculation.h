#pragma once

// --speculative-config, in vLLM's JSON:
//
//   {"method": "ngram", "num_speculative_tokens": 4, "prompt_lookup_max": 5, "prompt_lookup_min": 2}

#include <string>
#include <string_view>

#include "base/status.h"
#include "engine/options.h"

namespace polymath::commands {

// --spec-method. kUnimplemented: another method than engine::proposers() has.
absl::StatusOr<std::string> parse_speculation_method(std::string_view value);

// Without lookup bounds both are 5; with one of them the other equals it, as in vLLM.
// kInvalidArgument: another shape, an unknown key, or a number out of range; kUnimplemented: another method.
absl::StatusOr<engine::SpeculationOptions> parse_speculation(std::string_view value);

}  // namespace polymath::commands
