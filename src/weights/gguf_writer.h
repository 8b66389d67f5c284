#pragma once

// A GGUF file's header and the places of its tensors, version 3. The caller writes the data.
//
//   GgufWriter writer(32);
//   writer.add_pair("general.file_type", 4, bytes);
//   const uint64_t place = writer.add_tensor("output.weight", *find_ggml_type(8), {2048, 256});
//   file << writer.header();   // then each tensor's bytes at its place after the header, zeros between
//
// Source: the GGUF specification (gguf_header.h).

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "weights/gguf_header.h"

namespace polymath::weights {

class GgufWriter {
 public:
  // Of tensors; a power of 2.
  explicit GgufWriter(uint64_t alignment) : alignment_(alignment) {}

  // `type`: of GGUF's; `value` as the file has it.
  void add_pair(std::string_view key, uint32_t type, std::span<const std::byte> value);
  void add_u32(std::string_view key, uint32_t value);
  // Returns where its bytes begin, from the header's end. REQUIRES: rows of whole blocks.
  uint64_t add_tensor(std::string_view name, const GgmlType& type, const tensor::Shape& shape);

  std::string header() const;                          // padded to the alignment
  uint64_t data_bytes() const { return data_bytes_; }  // of all tensors, padded

 private:
  const uint64_t alignment_;
  uint64_t n_pairs_ = 0, n_tensors_ = 0, data_bytes_ = 0;
  std::string pairs_, tensors_;
};

}  // namespace polymath::weights
