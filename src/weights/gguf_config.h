#pragma once

// GGUF metadata as a config.json in transformers' words. So one function parses an architecture.

#include "base/json.h"
#include "base/status.h"
#include "weights/gguf_header.h"

namespace polymath::weights {

// kUnimplemented: an unknown architecture or key of it; the message names it. kInvalidArgument: a key is missing.
absl::StatusOr<base::JsonValue> gguf_config(const GgufHeader& header);

}  // namespace polymath::weights
