#pragma once

// polymath quantize IN OUT --to FORMAT: a GGUF file with its matrices packed in another format.

#include "base/status.h"
#include "commands/options.h"

namespace polymath::commands {

// Streams tensor by tensor; memory for a few rows. OUT appears whole, or not at all.
// kAlreadyExists: OUT does. kUnimplemented: IN is no GGUF file, or has a type that cannot be read. kResourceExhausted:
// the disk has too little room. kInvalidArgument: no such format. kDataLoss: IN is broken, or a value is not finite.
absl::Status quantize_gguf(const Options& options);

}  // namespace polymath::commands
