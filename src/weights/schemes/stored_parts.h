#pragma once

// What schemes' finders share: a module's tensors by name, their checked shapes, and their values.

#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "weights/schemes/scheme.h"

namespace polymath::weights {

using Stored = FileCheckpoint::Stored;

// "a.b.qweight" without ".qweight" is "a.b"; false: it does not end so.
bool cut_ending(std::string_view& name, std::string_view ending);

// The tensors of one module.
struct ModuleTensors {
  const FileCheckpoint& files;
  std::string module;  // with the dot

  const Stored* find(std::string_view part) const { return files.find(module + std::string(part)); }
  // kInvalidArgument: it is missing, beside `main`.
  absl::StatusOr<const Stored*> need(std::string_view part, const Stored& main) const;
  // Those that are there.
  std::vector<const Stored*> present(std::initializer_list<std::string_view> parts) const;
};

// kInvalidArgument: not of this type and shape. The message names file, tensor and both.
absl::Status check_stored(const Stored& stored, std::string_view type, const tensor::Shape& shape);
absl::Status bad_tensor(const Stored& stored, std::string_view what);

// Numbers of F32, F16, BF16, F8_E4M3 or F8_E8M0, and of U8 as E8M0. kInvalidArgument: another type.
absl::StatusOr<std::vector<float>> read_numbers(const Stored& stored);
bool is_half(const Stored& stored);  // of 16 bits or fewer

}  // namespace polymath::weights
