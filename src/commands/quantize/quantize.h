#pragma once

// polymath quantize IN OUT --to FORMAT: a model with its matrices packed in another format.
//
//   GGUF file      -> GGUF file, in a type of ggml's
//   directory      -> directory, in a scheme that other engines read (scheme_writer.h)

#include "base/status.h"
#include "commands/options.h"
#include "commands/quantize/gguf_plan.h"
#include "commands/quantize/scheme_writer.h"

namespace polymath::commands {

// Streams tensor by tensor; memory for a few rows. OUT appears whole, or not at all.
// kAlreadyExists: OUT does. kUnimplemented: IN is of the other kind, or has a type or layout that is not packed.
// kResourceExhausted: the disk has too little room. kInvalidArgument: no such format, or IN is packed already.
// kDataLoss: IN is broken, or a value is not finite.
absl::Status quantize_model(const Options& options);

absl::Status quantize_gguf(const Options& options, const PackTarget& target);
absl::Status quantize_directory(const Options& options, const SchemeWriter& writer);

}  // namespace polymath::commands
