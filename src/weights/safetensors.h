#pragma once

// Safetensors files as one Checkpoint.

#include <memory>

#include "weights/directory.h"
#include "weights/file_checkpoint.h"

namespace polymath::weights {

// All tensors of the files. Of a tensor in several files, the index says which one counts.
// kInvalidArgument: it does not. Other errors: read_safetensors_header()'s.
absl::StatusOr<std::unique_ptr<FileCheckpoint>> open_safetensors(const WeightFiles& files,
                                                                 const CheckpointLimits& limits);
// Of a directory, as open_checkpoint() finds them.
absl::StatusOr<std::unique_ptr<FileCheckpoint>> open_stored(const std::string& directory,
                                                            const CheckpointLimits& limits);
// One file from memory, which must outlive it.
absl::StatusOr<std::unique_ptr<FileCheckpoint>> parse_stored(std::span<const std::byte> bytes,
                                                             const CheckpointLimits& limits);

}  // namespace polymath::weights
