#pragma once

// A safetensors file's header and the places of its tensors. The caller writes the data.
//
//   const SafetensorsLayout layout = lay_out_safetensors(tensors);
//   file << layout.header;   // then tensors[i]'s bytes at layout.places[i], in any order
//
// Tensors of wide elements come first, so that each begins at a multiple of its element's size.
// Source: safetensors_header.h.

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "tensor/tensor.h"

namespace polymath::weights {

struct NewTensor {
  std::string name;
  std::string type;  // as the file spells it: "BF16"
  tensor::Shape shape;
  uint64_t bytes = 0;
};

struct SafetensorsLayout {
  std::string header;
  std::vector<uint64_t> places;  // of each tensor, from the file's start
  uint64_t bytes = 0;            // of the file
};
// REQUIRES: distinct names.
SafetensorsLayout lay_out_safetensors(std::span<const NewTensor> tensors);

}  // namespace polymath::weights
