#pragma once

// Split GGUF files, by their names: model-00002-of-00003.gguf.

#include <string>
#include <string_view>
#include <vector>

namespace polymath::weights {

// Every part of the model that `path` is a part of, in order. A file that is not split is its only part.
// More than CheckpointLimits::shards_max parts: the name says nothing.
std::vector<std::string> gguf_parts(const std::string& path);

// The models among a directory's files, each by its first part. Projectors of images ("mmproj*") are left out.
std::vector<std::string> gguf_models(const std::vector<std::string>& names);

// Whether the file's name ends in this quantisation, in any case: model-Q4_K_M.gguf or model.q4_k_m-00001-of-00002.gguf
// in Q4_K_M. A folder of that name counts, too.
bool gguf_has_quant(const std::string& path, std::string_view quant);

}  // namespace polymath::weights
