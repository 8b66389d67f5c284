#pragma once

// Split GGUF files, by their names: model-00002-of-00003.gguf.

#include <string>
#include <vector>

namespace polymath::weights {

// Every part of the model that `path` is a part of, in order. A file that is not split is its only part.
// More than CheckpointLimits::shards_max parts: the name says nothing.
std::vector<std::string> gguf_parts(const std::string& path);

// The models among a directory's files, each by its first part. Projectors of images ("mmproj*") are left out.
std::vector<std::string> gguf_models(const std::vector<std::string>& names);

}  // namespace polymath::weights
