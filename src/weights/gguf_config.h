#pragma once

// GGUF metadata as a config.json in the words of transformers, so that an architecture is parsed by one function.

#include "base/json.h"
#include "base/status.h"
#include "weights/gguf_header.h"

namespace polymath::weights {

// kUnimplemented: an architecture or a key of it that is not known, named. kInvalidArgument: a key is missing.
absl::StatusOr<base::JsonValue> gguf_config(const GgufHeader& header);

}  // namespace polymath::weights
