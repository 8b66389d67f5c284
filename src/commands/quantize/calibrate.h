#pragma once

// --calibrate FILE: a forward pass over a text says how much each input of each matrix counts.

#include <memory>

#include "base/status.h"
#include "commands/options.h"
#include "commands/quantize/importance.h"
#include "weights/checkpoint.h"
#include "weights/model_files.h"

namespace polymath::commands {

// Of the model and text of the options; empty without a text. On the CPU, with the model's weights in memory.
// kInvalidArgument: the text has no token that the model knows. Errors of loading.
absl::StatusOr<Importance> calibrated(const Options& options);

// Of a model that is open.
struct CalibrationText {
  std::vector<int32_t> tokens;
  int context = 512;  // tokens of a window
};
absl::StatusOr<Importance> calibrate(const weights::ModelFiles& files, const RuntimeOptions& runtime,
                                     const CalibrationText& text);

}  // namespace polymath::commands
