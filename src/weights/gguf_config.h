#pragma once

// GGUF metadata as a config in the words of Hugging Face's config.json, so that model/ reads both alike.

#include "base/json.h"
#include "base/status.h"
#include "weights/gguf_header.h"

namespace polymath::weights {

// The tensors that say how positions are rotated. They are part of the config, and no weights.
bool is_rope_tensor(std::string_view name);

// `file`: the bytes of the file whose header it is; of a split file, its first part's.
// kUnimplemented: an architecture or a key that is not known (named). kInvalidArgument: a key is missing or has a wrong
// value.
absl::StatusOr<base::JsonValue> gguf_config(const GgufHeader& header, std::span<const std::byte> file);

}  // namespace polymath::weights
