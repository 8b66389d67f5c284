#pragma once

// The header of one safetensors file, read and checked before its tensors.
//
//   8 bytes   length of the JSON that follows, little-endian
//   JSON      {"name": {"dtype": "BF16", "shape": [64, 128], "data_offsets": [0, 16384]}, ..., "__metadata__": {...}}
//   data      the tensors; offsets count from here
//
// A returned header is true of the file. Names are distinct. Every tensor lies inside the data, as long as its shape
// says. The length of an unknown type is not checked. The tensors cover the data without overlap or hole. Unknown
// fields of a tensor are skipped, and "__metadata__" may be null, as in the safetensors library.
//
// Source: https://github.com/huggingface/safetensors, README, "Format".

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "tensor/tensor.h"
#include "weights/checkpoint.h"

namespace polymath::weights {

struct StoredTensor {
  std::string name;
  std::string stored_dtype;                     // as the file spells it: "BF16", "F8_E4M3"; an unknown one is quoted
  tensor::DType dtype = tensor::DType::kCount;  // kCount: a type that is not read here
  tensor::Shape shape;
  uint64_t begin = 0, end = 0;  // bytes from the file's start
};

// Sorted by name. `file_name` is for messages only.
//   kDataLoss            the file is shorter than its header says; names the first tensor that falls outside
//   kFailedPrecondition  not safetensors but pickle, zip or a Git LFS pointer
//   kInvalidArgument     anything else that is not so as above, or a limit is passed
absl::StatusOr<std::vector<StoredTensor>> read_safetensors_header(std::span<const std::byte> file,
                                                                  std::string_view file_name,
                                                                  const CheckpointLimits& limits);

// A name from a file, safe to print: quoted, control characters escaped, cut after 200 bytes.
std::string shown_name(std::string_view name);

}  // namespace polymath::weights
