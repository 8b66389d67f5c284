#include "weights/model_files.h"

#include <algorithm>

#include "weights/directory.h"

namespace polymath::weights {
namespace {

constexpr base::JsonLimits kConfigLimits{.bytes_max = 16u << 20};

class Directory final : public ModelFiles {
 public:
  explicit Directory(std::string path) : path_(std::move(path)) {}

  const std::string& path() const override { return path_; }
  absl::StatusOr<base::JsonValue> config() const override {
    auto config = base::read_json_file(path_ + "/config.json", kConfigLimits);
    if (!absl::IsNotFound(config.status()) || !has_gguf()) return config;
    const auto files = find_weight_files(path_, {});
    return files.ok() ? std::move(config) : files.status();
  }
  absl::StatusOr<base::JsonValue> generation_config() const override {
    return base::read_json_file(path_ + "/generation_config.json", kConfigLimits);
  }
  TokenizerSource tokenizer_source() const override { return {path_, {}}; }
  absl::StatusOr<std::unique_ptr<Checkpoint>> open_checkpoint() const override {
    return weights::open_checkpoint(path_, {});
  }

 private:
  // A directory of GGUF files holds several models, or one in several formats.
  bool has_gguf() const {
    const auto names = list_files(path_);
    return names.ok() && std::any_of(names->begin(), names->end(), [](const auto& n) { return n.ends_with(".gguf"); });
  }

  const std::string path_;
};

}  // namespace

std::unique_ptr<ModelFiles> open_directory(const std::string& directory) {
  return std::make_unique<Directory>(directory);
}

absl::StatusOr<std::unique_ptr<ModelFiles>> open_model_files(const std::string& path) {
  if (path.ends_with(".gguf")) return open_gguf(path);
  return open_directory(path);
}

}  // namespace polymath::weights
