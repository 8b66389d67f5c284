#include "model/config.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "layers/config_check.h"
#include "model/architecture.h"
#include "model/loading/load.h"

namespace polymath::model {
namespace {

using layers::check_range;
using layers::kWidthMax;

// Multimodal models around any text model; its model_type names it. Those around one kind are in its table.
constexpr std::string_view kWrappers[] = {
    "InternVLForConditionalGeneration", "KimiK25ForConditionalGeneration",   "KimiVLForConditionalGeneration",
    "LlavaForConditionalGeneration",    "LlavaNextForConditionalGeneration", "Mistral3ForConditionalGeneration",
    "VipLlavaForConditionalGeneration", "VoxtralForConditionalGeneration",
};

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

// What a config is of, and which part of it describes the text model.
struct ConfigSource {
  const Architecture* architecture = nullptr;
  std::string name;       // one of architecture->names
  base::JsonObject text;  // the config, or a multimodal model's text_config
  std::string left_out;   // of a multimodal model: "vision_config"
};

const base::JsonObject* text_config(const base::JsonObject& config) {
  const auto* text = config.if_contains("text_config");
  return text != nullptr && text->is_object() ? &text->get_object() : nullptr;
}

// "Qwen3MoeModel" is Qwen3MoeForCausalLM without its lm_head, or with one tied to the embeddings.
std::string with_head(const std::string& name) {
  constexpr std::string_view kBase = "Model";
  return name.ends_with(kBase) ? name.substr(0, name.size() - kBase.size()) + "ForCausalLM" : name;
}

// The first name that is known; where `architectures` is absent, by model_type.
absl::Status find_by_name(base::JsonReader& j, ConfigSource& out) {
  const auto names = j.strings("architectures");
  const std::string type = j.s("model_type", "");
  RETURN_IF_ERROR(j.status());
  for (const auto& name : names) {
    out.name = with_head(name);
    out.architecture = find_architecture(out.name);
    if (out.architecture != nullptr) return absl::OkStatus();
  }
  if (names.empty() && !type.empty()) out.architecture = find_model_type(type);
  if (out.architecture != nullptr) {
    out.name = out.architecture->names[0];
    return absl::OkStatus();
  }
  for (const auto& name : names) {
    const std::string_view block = missing_block(with_head(name));
    if (block.empty()) continue;
    return absl::UnimplementedError(absl::StrCat("config.json: the architecture ", name, " is known, but ",
                                                 std::string(block), " is not built yet"));
  }
  const std::string what = !names.empty() ? absl::StrJoin(names, ", ")
                           : type.empty() ? "(none is named)"
                                          : absl::StrCat("of the model_type ", type);
  return absl::UnimplementedError(absl::StrCat(
      "config.json: the architecture ", what, " is not known; known are: ", absl::StrJoin(architecture_names(), ", ")));
}

bool is_wrapper(const std::vector<std::string>& names) {
  return std::any_of(names.begin(), names.end(), [](const std::string& name) {
    return std::find(std::begin(kWrappers), std::end(kWrappers), name) != std::end(kWrappers);
  });
}

// A multimodal model's text part: its text_config, and what counts at the top level.
absl::Status take_text_part(const base::JsonObject& config, ConfigSource& out) {
  std::vector<std::string> left_out, refused;
  for (const auto& [key_view, value] : config) {
    const std::string key(key_view.data(), key_view.size());
    if (key == "text_config" || key == "tie_word_embeddings" || key == "quantization_config") continue;
    if (!harmless_beside_text(key) && !base::says_nothing(value)) refused.push_back(key);
    if (key.ends_with("_config") && value.is_object()) left_out.push_back(key);
    const bool of_text = key.starts_with("bos_token_id") || key.starts_with("eos_token_id") || key.ends_with("dtype");
    if (of_text && !out.text.contains(key)) out.text[key] = value;
  }
  RETURN_IF_ERROR(refuse_keys(refused, out.name));
  for (const char* key : {"tie_word_embeddings", "quantization_config"}) {
    if (const auto* value = config.if_contains(key); value != nullptr && !value->is_null()) out.text[key] = *value;
  }
  out.left_out = absl::StrJoin(left_out, ", ");
  return absl::OkStatus();
}

absl::StatusOr<ConfigSource> find_source(const base::JsonValue& value) {
  base::JsonReader j(value);
  RETURN_IF_ERROR(j.status());
  const base::JsonObject& config = value.get_object();
  const auto names = j.strings("architectures");
  const bool may_wrap = names.empty() || std::any_of(names.begin(), names.end(), [](const std::string& name) {
                          return name.ends_with("ForConditionalGeneration");
                        });
  const base::JsonObject* text = may_wrap ? text_config(config) : nullptr;
  ConfigSource out;
  out.text = text != nullptr ? *text : config;
  if (text != nullptr && is_wrapper(names)) {
    base::JsonReader inner = j.object("text_config");
    RETURN_IF_ERROR(find_by_name(inner, out));
  } else {
    RETURN_IF_ERROR(find_by_name(j, out));
  }
  if (text != nullptr) RETURN_IF_ERROR(take_text_part(config, out));
  if (text == nullptr && out.text.contains("vision_config")) out.left_out = "vision_config";  // or it is refused
  return out;
}

absl::Status refuse_quantization(const base::JsonValue& value) {
  base::JsonReader j(value, "quantization_config");
  const std::string method = j.s("quant_method", "an unnamed method"), algorithm = j.s("quant_algo", "");
  RETURN_IF_ERROR(j.status());
  return absl::UnimplementedError(absl::StrCat("the checkpoint is quantised by ", method,
                                               algorithm.empty() ? "" : " to " + algorithm,
                                               " (quantization_config); that is not built yet"));
}

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
  ASSIGN_OR_RETURN(const ConfigSource source, find_source(value));
  if (const auto* q = source.text.if_contains("quantization_config"); q != nullptr && !q->is_null()) {
    return refuse_quantization(*q);
  }
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
  for (LayerConfig& layer : local.layers) {
    RETURN_IF_ERROR(layers::split(layer.attention, rank));
    for (FfnConfig& ffn : layer.ffns) RETURN_IF_ERROR(ffn.split(rank));
  }
  return local;
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
