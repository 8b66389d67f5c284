#include "weights/model_files.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "weights/directory.h"
#include "weights/gguf_parts.h"
#include "weights/safetensors.h"
#include "weights/schemes/scheme.h"

namespace polymath::weights {
namespace {

constexpr base::JsonLimits kConfigLimits{.bytes_max = 16u << 20, .non_finite = true};

class Directory final : public ModelFiles {
 public:
  explicit Directory(std::string path) : path_(std::move(path)) {}

  const std::string& path() const override { return path_; }
  absl::StatusOr<base::JsonValue> config() const override {
    if (has_mistral_format()) return mistral_config();
    auto config = base::read_json_file(path_ + "/config.json", kConfigLimits);
    if (absl::IsNotFound(config.status())) return describe(config.status());
    if (config.ok() && config->is_object()) RETURN_IF_ERROR(add_quantization(config->get_object()));
    return config;
  }
  absl::StatusOr<base::JsonValue> generation_config() const override {
    return base::read_json_file(path_ + "/generation_config.json", kConfigLimits);
  }
  TokenizerSource tokenizer_source() const override { return {path_, {}}; }
  absl::StatusOr<std::unique_ptr<Checkpoint>> open_checkpoint() const override {
    ASSIGN_OR_RETURN(std::unique_ptr<FileCheckpoint> stored, open_stored(path_, {}));
    const auto json = config();
    const base::JsonValue* quantization =
        json.ok() && json->is_object() ? find_quantization(json->get_object()) : nullptr;
    if (quantization == nullptr) return stored;
    ASSIGN_OR_RETURN(const Scheme scheme, parse_scheme(*quantization));
    return open_quantized(std::move(stored), scheme);
  }

 private:
  // Mistral's own files, and no others: some directories hold a model in both formats.
  bool has_mistral_format() const {
    const auto names = list_files(path_);
    if (!names.ok()) return false;
    const auto any = [&](auto is) { return std::any_of(names->begin(), names->end(), is); };
    const auto weights = [](const std::string& n, std::string_view start) {
      return n.starts_with(start) && n.ends_with(".safetensors");
    };
    if (!any([](const auto& n) { return n == "params.json"; })) return false;
    if (!any([](const auto& n) { return n == "config.json"; })) return true;
    return any([&](const auto& n) { return weights(n, "consolidated"); }) &&
           !any([&](const auto& n) { return weights(n, "model"); });
  }

  // params.json, with the name of the architecture that reads it.
  absl::StatusOr<base::JsonValue> mistral_config() const {
    ASSIGN_OR_RETURN(base::JsonValue params, base::read_json_file(path_ + "/params.json", kConfigLimits));
    if (!params.is_object()) return params;
    base::JsonObject& out = params.get_object();
    out["architectures"] = base::JsonArray{"MistralParams"};
    const auto* quantized = out.if_contains("quantization");
    if (quantized == nullptr || !quantized->is_object()) return params;
    base::JsonReader file(*quantized, "quantization");
    const std::string method = file.s("quant_method", file.s("qformat_weight", "an unnamed method"));
    RETURN_IF_ERROR(file.status());
    out["quantization_config"] = base::JsonObject{{"quant_method", boost::json::string(method)}};
    out.erase("quantization");
    return params;
  }

  // What a directory without config.json is, if that can be said.
  absl::Status describe(const absl::Status& missing) const {
    const auto adapter = base::read_json_file(path_ + "/adapter_config.json", kConfigLimits);
    if (adapter.ok()) {
      return absl::InvalidArgumentError(
          absl::StrCat(path_, " holds an adapter (adapter_config.json), not a model; serve the model that it adapts, ",
                       "with --enable-lora --lora-modules NAME=", path_));
    }
    if (!has_gguf()) return missing;
    const auto files = find_weight_files(path_, {});
    return files.ok() ? missing : files.status();
  }

  // NVIDIA's ModelOpt says how it quantised in a file of its own. Without an algorithm, it quantised the KV cache
  // alone. compressed-tensors once had a key of its own.
  absl::Status add_quantization(base::JsonObject& config) const {
    if (find_quantization(config) != nullptr) return absl::OkStatus();
    if (const auto* older = config.if_contains("compression_config"); older != nullptr && !older->is_null()) {
      config["quantization_config"] = *older;
      config.erase("compression_config");
      return absl::OkStatus();
    }
    const auto beside = base::read_json_file(path_ + "/hf_quant_config.json", kConfigLimits);
    if (absl::IsNotFound(beside.status())) return absl::OkStatus();
    RETURN_IF_ERROR(beside.status());
    base::JsonReader file(*beside, "hf_quant_config.json");
    const base::JsonReader quantization = file.object("quantization");
    const std::string algorithm = file.object("quantization").s("quant_algo", "");
    RETURN_IF_ERROR(file.status());
    if (algorithm.empty()) return absl::OkStatus();
    base::JsonObject found = {{"quant_method", "modelopt"}};
    for (const auto& [key, value] : quantization.value().get_object()) found[key] = value;
    config["quantization_config"] = std::move(found);
    return absl::OkStatus();
  }

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

absl::StatusOr<std::unique_ptr<ModelFiles>> open_model_files(const std::string& path, bool gguf) {
  if (path.ends_with(".gguf")) return open_gguf(path);
  const auto names = list_files(path);
  if (!names.ok()) return open_directory(path);
  const std::vector<std::string> models = gguf_models(*names);
  const bool plain =
      std::any_of(names->begin(), names->end(), [](const auto& n) { return n.ends_with(".safetensors"); });
  if (models.size() == 1 && (gguf || !plain)) return open_gguf(path + "/" + models[0]);
  if (!gguf) return open_directory(path);
  if (models.empty()) return absl::NotFoundError(absl::StrCat(path, ": --quantization gguf: no *.gguf file is there"));
  return absl::InvalidArgumentError(
      absl::StrCat(path, ": --quantization gguf: name one of its files instead: ", absl::StrJoin(models, ", ")));
}

}  // namespace polymath::weights
