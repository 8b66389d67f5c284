#pragma once

// The header of one GGUF file, read and checked before its tensors.
//
//   "GGUF", u32 version, u64 number of tensors, u64 number of metadata pairs
//   metadata   key, u32 type, value; an array is u32 type, u64 length, values
//   tensors    name, u32 n_dims, u64 dims (innermost first), u32 ggml type, u64 offset into the data
//   data       from the next multiple of general.alignment
//
// Strings are u64 bytes and UTF-8; everything is little-endian.
//
// A returned header is true of the file. Keys and names are distinct. Every tensor is aligned and inside the data, and
// overlaps no other. It is as long as its shape and type say.
//
// Source: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md, versions 2 and 3.

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/status.h"
#include "weights/checkpoint.h"

namespace polymath::weights {

// A row of ggml's types.
struct GgmlType {
  uint32_t id = 0;
  std::string_view name;    // as ggml spells it: "Q8_0"
  std::string_view format;  // as quant/ spells it; empty: no format of weights (integers)
  int block_values = 1;
  int block_bytes = 0;
};
// Null: not a type of ggml's.
const GgmlType* find_ggml_type(uint32_t id);
// Of a format, as quant/ spells it.
const GgmlType* ggml_type_of_format(std::string_view format);

struct GgufTensor {
  std::string name;
  const GgmlType* type = nullptr;
  tensor::Shape shape;            // outermost first
  uint64_t begin = 0, bytes = 0;  // from the file's start
  size_t part = 0;                // of a split file: which one
};

// Where a metadata pair lies in the file.
struct GgufPair {
  std::string key;
  uint32_t type = 0;              // GGUF's
  uint64_t begin = 0, bytes = 0;  // of its value
};

struct GgufHeader {
  base::JsonObject metadata;        // as JSON: numbers, booleans, strings and arrays of them
  std::vector<GgufPair> pairs;      // the same, in the file's order
  uint64_t alignment = 0;           // of the tensors
  std::vector<GgufTensor> tensors;  // sorted by name
  int64_t parts() const;            // of the model; 1: it is not split
};

// `file_name` is for messages only.
//   kDataLoss            the file is shorter than its header says
//   kFailedPrecondition  not GGUF
//   kUnimplemented       another version, big-endian, an unknown ggml type, arrays of arrays
//   kInvalidArgument     anything else that is not so as above, or a limit is passed
absl::StatusOr<GgufHeader> read_gguf_header(std::span<const std::byte> file, std::string_view file_name,
                                            const CheckpointLimits& limits);

}  // namespace polymath::weights
