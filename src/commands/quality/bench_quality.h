#pragma once

// polymath bench quality MODEL --against REFERENCE --text FILE: what a packed or smaller dtype costs, over a text.

#include "base/status.h"
#include "commands/options.h"

namespace polymath::commands {

// Prints the figures; with output_json writes them, too. Both models are loaded at once, on the same device.
// kInvalidArgument: the models have different vocabularies or tokens, or the text is too short.
absl::Status bench_quality(const Options& options);

}  // namespace polymath::commands
