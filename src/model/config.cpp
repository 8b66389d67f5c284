#include "model/config.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "layers/config_check.h"
#include "model/architecture.h"
#include "model/config_source.h"
#include "model/loading/load.h"
#include "weights/schemes/scheme.h"

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

namespace {

absl::Status set_activation(base::JsonReader& j, ModelConfig& c) {
  const std::string name = j.s("hidden_act", "silu");
  const auto kind = glu_kind(name);
  if (!kind) {
    return absl::UnimplementedError(absl::StrCat("config.json: hidden_act: \"", name, "\" is not built yet"));
  }
  for (LayerConfig& layer : c.layers) {
    for (FfnConfig& ffn : layer.ffns) ffn.glu.kind = *kind;
  }
  return absl::OkStatus();
}

// "auto" and absent: as most models are stored.
absl::StatusOr<tensor::DType> parse_dtype(base::JsonReader& j) {
  std::string name = j.s("dtype", j.s("torch_dtype", "auto"));
  if (name.starts_with("torch.")) name = name.substr(6);
  if (name == "auto") return tensor::DType::kBf16;
  if (name == "float64") return tensor::DType::kF32;  // no backend computes in doubles
  const auto known = tensor::dtype_from_name(name);
  if (!known || (*known != tensor::DType::kF32 && *known != tensor::DType::kF16 && *known != tensor::DType::kBf16)) {
    return absl::InvalidArgumentError(
        absl::StrCat("config.json: dtype \"", name, "\" is not float32, float16 or bfloat16"));
  }
  return *known;
}

// Scaled rotations are made for contexts beyond max_position_embeddings.
int longest_context(const ModelConfig& c) {
  double longest = c.positions_max;
  for (const LayerConfig& layer : c.layers) {
    const RopeConfig* rope = layers::rope(layer.attention);
    const bool scaled =
        rope != nullptr && (rope->scaling == RopeScaling::kYarn || rope->scaling == RopeScaling::kLinear ||
                            rope->scaling == RopeScaling::kDynamic);
    if (scaled) longest = std::max(longest, rope->original_len * rope->factor);
  }
  return static_cast<int>(std::min(longest, 1.0 * (1 << 28)));
}

}  // namespace

absl::StatusOr<ModelConfig> parse_config(const base::JsonValue& value) {
  ASSIGN_OR_RETURN(ConfigSource source, find_source(value));
  // The checkpoint reads by it (weights/schemes/). Here it is refused, should it be one that is not read.
  if (const auto* q = source.text.if_contains("quantization_config"); q != nullptr && !q->is_null()) {
    RETURN_IF_ERROR(weights::parse_scheme(*q).status());
  }
  source.text.erase("quantization_config");
  const ConfigKeys& keys = source.architecture->keys;
  ASSIGN_OR_RETURN(base::JsonObject regular, regular_config(source.text, keys));
  const base::JsonValue regular_value(std::move(regular));
  base::JsonReader j(regular_value);
  j.read_as_config();
  ModelConfig config = source.architecture->parse(j);
  RETURN_IF_ERROR(j.status());
  if (keys.reads_hidden_act) RETURN_IF_ERROR(set_activation(j, config));
  config.architecture = source.name;
  if (!source.left_out.empty()) config.left_out = source.left_out;
  ASSIGN_OR_RETURN(config.dtype, parse_dtype(j));
  config.bos_id = j.i("bos_token_id", -1);
  add_eos(j, config);
  RETURN_IF_ERROR(j.status());
  RETURN_IF_ERROR(check_all_read(j, source.text, keys, source.name));
  RETURN_IF_ERROR(check_config(config));
  config.model_len_max = longest_context(config);
  return config;
}

absl::StatusOr<ModelConfig> local_config(const ModelConfig& config, parallel::Rank rank) {
  // Whole shares alone: ranks that share a part of the logits could not be put side by side.
  if (!config.tied_embeddings && config.vocab % 2 == 0) {
    RETURN_IF_ERROR(layers::check_split("entries of the vocabulary", config.vocab / config.vocab_unit(), rank.size));
  }
  ModelConfig local = config;
  const parallel::Stage& stage = rank.stage;
  const auto first = config.layers.begin() + stage.first_layer;
  local.layers.assign(first, stage.n_layers < 0 ? config.layers.end() : first + stage.n_layers);
  for (LayerConfig& layer : local.layers) {
    RETURN_IF_ERROR(layers::split(layer.attention, rank));
    for (FfnConfig& ffn : layer.ffns) RETURN_IF_ERROR(ffn.split(rank));
  }
  return local;
}

absl::Status check_stages(const ModelConfig& config, const std::vector<int>& stages) {
  int64_t sum = 0;
  bool empty = false;
  for (const int layers : stages) {
    sum += layers;
    empty |= layers < 1;
  }
  if (stages.empty() || (!empty && sum == static_cast<int64_t>(config.layers.size()))) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("pipeline stages of ", absl::StrJoin(stages, ", "),
                                                 " layers: ", config.architecture, " has ", config.layers.size(),
                                                 " layers, and each stage needs one or more"));
}

absl::StatusOr<ModelConfig> read_config(const weights::ModelFiles& files, const base::JsonObject& overrides) {
  ASSIGN_OR_RETURN(base::JsonValue json, files.config());
  if (json.is_object()) override_keys(json.get_object(), overrides);
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
