#pragma once

// What each tensor of a GGUF file becomes when its matrices are packed in another format.

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "weights/gguf_header.h"

namespace polymath::commands {

// Names that --to takes: formats that this build packs, with their number in general.file_type.
struct PackTarget {
  std::string_view format;  // quant/'s name, and GGUF's in small letters
  uint32_t file_type = 0;   // source: llama.h (enum llama_ftype)
};
std::span<const PackTarget> pack_targets();
const PackTarget* find_pack_target(std::string_view format);  // null: none of that name

// The type of each tensor, in the header's order. Matrices get the target. The embedding and the output get Q6_K where
// the target is smaller. Rows of no whole blocks get Q8_0, or stay as they are. So do routers, norms and biases.
std::vector<const weights::GgmlType*> packed_types(const weights::GgufHeader& header, const PackTarget& target);

}  // namespace polymath::commands
