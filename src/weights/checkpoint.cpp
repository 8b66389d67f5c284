#include "weights/checkpoint.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "weights/safetensors.h"
#include "weights/safetensors_header.h"

namespace polymath::weights {
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
  return open_stored(directory, limits);
}

}  // namespace polymath::weights
