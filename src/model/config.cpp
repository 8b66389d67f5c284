#include "model/config.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "layers/config_check.h"
#include "model/architecture.h"
#include "model/load.h"

namespace polymath::model {
namespace {

using layers::check_range;
using layers::kWidthMax;

absl::Status check_config(const ModelConfig& c) {
  RETURN_IF_ERROR(check_range("hidden_size", c.hidden, 1, kWidthMax));
  RETURN_IF_ERROR(check_range("vocab_size", c.vocab, 1, 1 << 24));
  RETURN_IF_ERROR(check_range("max_position_embeddings", c.positions_max, 1, 1 << 28));
  if (!(c.norm_eps > 0)) return absl::InvalidArgumentError("config.json: the norm's epsilon must be positive");
  for (const auto& layer : c.layers) {
    RETURN_IF_ERROR(layers::check(layer.attention));
    if (layer.ffns.empty()) return absl::InvalidArgumentError("config.json: a layer without a feed-forward");
    for (const auto& f : layer.ffns) RETURN_IF_ERROR(f.check());
  }
  return absl::OkStatus();
}

void add_eos(base::JsonReader& j, ModelConfig& c) {
  const auto* eos = j.find("eos_token_id");
  if (eos == nullptr) return;
  const auto ids = eos->is_array() ? j.ints("eos_token_id") : std::vector<int>{j.i("eos_token_id")};
  for (const int id : ids) {
    if (std::find(c.eos_ids.begin(), c.eos_ids.end(), id) == c.eos_ids.end()) c.eos_ids.push_back(id);
  }
}

}  // namespace

std::vector<std::string> architecture_names() {
  std::vector<std::string> names;
  for (const Architecture* a : architectures()) {
    for (const std::string_view name : a->names) names.emplace_back(name);
  }
  return names;
}

absl::StatusOr<ModelConfig> parse_config(const base::JsonValue& value) {
  base::JsonReader j(value);
  RETURN_IF_ERROR(j.status());
  const auto names = j.strings("architectures");
  RETURN_IF_ERROR(j.status());
  const Architecture* architecture = nullptr;
  for (const auto& name : names) {
    if (architecture == nullptr) architecture = find_architecture(name);
  }
  if (architecture == nullptr) {
    return absl::UnimplementedError(
        absl::StrCat("config.json: the architecture ", names.empty() ? "(none is named)" : absl::StrJoin(names, ", "),
                     " is not known; known are: ", absl::StrJoin(architecture_names(), ", ")));
  }
  if (j.has("quantization_config")) {
    return absl::UnimplementedError("config.json: quantization_config: quantised checkpoints are not built yet");
  }
  const std::string act = j.s("hidden_act", "silu");
  if (act != "silu" && act != "swish") {
    return absl::UnimplementedError(absl::StrCat("config.json: hidden_act: \"", act, "\" is not built yet; silu is"));
  }
  ModelConfig config = architecture->parse(j);
  RETURN_IF_ERROR(j.status());
  config.architecture = names[0];
  const std::string dtype = j.s("dtype", j.s("torch_dtype", "bfloat16"));
  const auto known = tensor::dtype_from_name(dtype);
  if (!known || (*known != tensor::DType::kF32 && *known != tensor::DType::kF16 && *known != tensor::DType::kBf16)) {
    return absl::InvalidArgumentError(
        absl::StrCat("config.json: dtype \"", dtype, "\" is not float32, float16 or bfloat16"));
  }
  config.dtype = *known;
  config.bos_id = j.i("bos_token_id", -1);
  add_eos(j, config);
  RETURN_IF_ERROR(j.status());
  RETURN_IF_ERROR(check_config(config));
  return config;
}

absl::StatusOr<ModelConfig> local_config(const ModelConfig& config, parallel::Rank rank) {
  // Whole shares alone: ranks that share a part of the logits could not be put side by side.
  if (!config.tied_embeddings && config.vocab % 2 == 0) {
    RETURN_IF_ERROR(layers::check_split("entries of the vocabulary", config.vocab / config.vocab_unit(), rank.size));
  }
  ModelConfig local = config;
  for (LayerConfig& layer : local.layers) {
    RETURN_IF_ERROR(layers::split(layer.attention, rank));
    for (FfnConfig& ffn : layer.ffns) RETURN_IF_ERROR(ffn.split(rank));
  }
  return local;
}

absl::StatusOr<ModelConfig> read_config(const weights::ModelFiles& files) {
  ASSIGN_OR_RETURN(const base::JsonValue json, files.config());
  auto config = parse_config(json);
  if (!config.ok()) {
    return absl::Status(config.status().code(), absl::StrCat(files.path(), ": ", config.status().message()));
  }
  const auto generation = files.generation_config();
  if (absl::IsNotFound(generation.status())) return config;
  RETURN_IF_ERROR(generation.status());
  base::JsonReader j(*generation, "generation_config.json");
  add_eos(j, *config);
  RETURN_IF_ERROR(j.status());
  return config;
}

}  // namespace polymath::model
