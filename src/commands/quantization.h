#pragma once

// --quantization: formats that a plain checkpoint is packed to at load, or the name of the checkpoint's own scheme.

#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "quant/format.h"
#include "weights/model_files.h"

namespace polymath::commands {

// The method of a checkpoint's quantization_config: "gptq". Empty: it has none.
absl::StatusOr<std::string> scheme_of(const weights::ModelFiles& files);

// kInvalidArgument: neither a format nor a scheme.
absl::Status check_quantization(std::string_view value);

// Formats for model::LoadOptions::pack_to. `scheme`: of the checkpoint; empty: it is plain. kInvalidArgument: the value
// is another scheme's, or the checkpoint is quantised already.
absl::StatusOr<std::vector<const quant::QuantFormat*>> formats_to_pack_to(std::string_view value,
                                                                          std::string_view scheme);

}  // namespace polymath::commands
