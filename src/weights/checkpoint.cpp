#include "weights/checkpoint.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "weights/directory.h"
#include "weights/safetensors.h"
#include "weights/safetensors_header.h"

namespace polymath::weights {
namespace {

// Every tensor of the index must be in the shard that the index says. Tensors outside the index are no error here: the
// model's loader decides.
absl::Status check_index(const Checkpoint& checkpoint, const WeightFiles& files) {
  for (const auto& [name, path] : files.index) {
    const TensorInfo* at = find_tensor(checkpoint, name);
    if (at != nullptr && at->file == path) continue;
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": tensor ", shown_name(name), " is not in this file, though the index says so"));
  }
  return absl::OkStatus();
}

}  // namespace

const TensorInfo* find_tensor(const Checkpoint& checkpoint, std::string_view name) {
  const auto infos = checkpoint.tensors();
  const auto at = std::lower_bound(infos.begin(), infos.end(), name,
                                   [](const TensorInfo& info, std::string_view n) { return info.name < n; });
  return at != infos.end() && at->name == name ? &*at : nullptr;
}

std::string place_of(const Checkpoint& checkpoint, std::string_view tensor) {
  const TensorInfo* at = find_tensor(checkpoint, tensor);
  return absl::StrCat(at == nullptr ? "" : at->file + ": ", "tensor ", shown_name(tensor));
}

const quant::QuantFormat* stored_format(const Checkpoint& checkpoint, std::string_view tensor) {
  if (const TensorInfo* at = find_tensor(checkpoint, tensor); at != nullptr) return at->format;
  const auto generator = checkpoint.generator(tensor);
  return generator.has_value() ? generator->stored : nullptr;
}

absl::StatusOr<std::unique_ptr<Checkpoint>> open_checkpoint(const std::string& directory,
                                                            const CheckpointLimits& limits) {
  ASSIGN_OR_RETURN(const WeightFiles files, find_weight_files(directory, limits));
  ASSIGN_OR_RETURN(std::unique_ptr<Checkpoint> checkpoint, open_safetensors(files.paths, limits));
  RETURN_IF_ERROR(check_index(*checkpoint, files));
  warn_about_code(directory);
  return checkpoint;
}

}  // namespace polymath::weights
