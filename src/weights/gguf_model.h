#pragma once

// A GGUF file, or all parts of a split one, mapped and checked.

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/status.h"
#include "weights/gguf_header.h"
#include "weights/mapped_file.h"

namespace polymath::weights {

struct GgufPart {
  std::string path;
  std::shared_ptr<const MappedFile> file;  // null: the caller's memory
  std::span<const std::byte> bytes;
};

struct GgufModel {
  std::vector<GgufPart> parts;
  GgufHeader header;  // the first part's metadata, and the tensors of all parts

  std::span<const std::byte> data(const GgufTensor& t) const { return parts[t.part].bytes.subspan(t.begin, t.bytes); }
};

// `path`: any part. Errors as read_gguf_header(), and of files that cannot be mapped; kInvalidArgument: the parts do
// not belong together.
absl::StatusOr<GgufModel> open_gguf_model(const std::string& path);

}  // namespace polymath::weights
