#pragma once

// Which tensors of a checkpoint are matrices of linear layers and experts, by the architecture's tables.

#include <vector>

#include "base/status.h"
#include "commands/quantize/scheme_writer.h"
#include "weights/checkpoint.h"
#include "weights/model_files.h"

namespace polymath::commands {

// In the checkpoint's order. Routers, embedding, head, norms and biases are not among them, nor what the model does not
// read. Errors: read_config()'s.
absl::StatusOr<std::vector<PlainMatrix>> linear_tensors(const weights::ModelFiles& files,
                                                        weights::Checkpoint& checkpoint);

}  // namespace polymath::commands
