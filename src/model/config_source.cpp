#include "model/config_source.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "model/loading/load.h"

namespace polymath::model {
namespace {

// How tie_word_embeddings of a multimodal model and that of its text part count.
enum class Tied {
  kTop,          // the model's own; absent: the text's
  kTopElseTrue,  // the model's own; absent: true
  kEither,       // true if one of them is
};

struct Wrapper {
  std::string_view name, model_type;
  std::string_view text_type;  // model_type of a text_config that names none; empty: the architecture is in our list
  Tied tied = Tied::kTop;
  std::string_view inside = {};           // the object that has text_config; empty: the config itself
  std::string_view text_defaults = "{}";  // JSON: for absent keys of text_config
};

constexpr std::string_view kVoxtralText = R"({
    "vocab_size": 131072, "hidden_size": 3072, "intermediate_size": 8192, "num_hidden_layers": 30,
    "num_key_value_heads": 8, "max_position_embeddings": 131072, "rms_norm_eps": 1e-5, "rope_theta": 1e8,
    "head_dim": 128})";

// Multimodal models around any text model, which its model_type names; then those around one kind.
constexpr Wrapper kWrappers[] = {
    {"FastVlmForConditionalGeneration", "fast_vlm", "qwen2", Tied::kEither},
    {"GotOcr2ForConditionalGeneration", "got_ocr2", "qwen2", Tied::kTopElseTrue},
    {"InternVLForConditionalGeneration", "internvl", "qwen2", Tied::kTopElseTrue},
    {"KimiK25ForConditionalGeneration", "kimi_k25", "deepseek_v3", Tied::kTopElseTrue},
    {"Kimi_K25ForConditionalGeneration", "kimi_k25", "deepseek_v3", Tied::kTopElseTrue},
    {"KimiVLForConditionalGeneration", "kimi_vl", "deepseek_v3"},
    {"LightOnOcrForConditionalGeneration", "lighton_ocr", "qwen3", Tied::kTopElseTrue},
    {"LlavaForConditionalGeneration", "llava", "llama", Tied::kEither},
    {"LlavaNextForConditionalGeneration", "llava_next", "llama"},
    {"LlavaNextVideoForConditionalGeneration", "llava_next_video", "llama", Tied::kEither},
    {"LlavaOnevisionForConditionalGeneration", "llava_onevision", "qwen2", Tied::kEither},
    {"Mistral3ForConditionalGeneration", "mistral3", "mistral", Tied::kTopElseTrue},
    {"Ovis2ForConditionalGeneration", "ovis2", "qwen2", Tied::kTopElseTrue},
    {"PerceptionLMForConditionalGeneration", "perception_lm", "llama"},
    {"VideoLlavaForConditionalGeneration", "video_llava", "llama"},
    {"VipLlavaForConditionalGeneration", "vipllava", "llama"},
    {.name = "VoxtralForConditionalGeneration",
     .model_type = "voxtral",
     .text_type = "llama",
     .text_defaults = kVoxtralText},
    {.name = "Qwen3OmniMoeForConditionalGeneration",
     .model_type = "qwen3_omni_moe",
     .text_type = {},
     .inside = "thinker_config"},
    {"Glm4vMoeForConditionalGeneration", "glm4v_moe", {}, Tied::kEither},
    {"Qwen2VLForConditionalGeneration", "qwen2_vl", {}, Tied::kEither},
    {"Qwen2_5_VLForConditionalGeneration", "qwen2_5_vl", {}, Tied::kEither},
};

constexpr std::string_view kConditional = "ForConditionalGeneration";

// The classes that a name may stand for. "Qwen3MoeModel" is Qwen3MoeForCausalLM without its lm_head, or with one tied
// to the embeddings. "Qwen3VLMoeTextModel" is the text part of Qwen3VLMoeForConditionalGeneration.
std::vector<std::string> classes_of(const std::string& name) {
  constexpr std::string_view kBase = "Model", kText = "Text", kCausal = "ForCausalLM";
  if (!name.ends_with(kBase)) return {name};
  const std::string stem = name.substr(0, name.size() - kBase.size());
  std::vector<std::string> out = {absl::StrCat(stem, std::string(kCausal)),
                                  absl::StrCat(stem, std::string(kConditional))};
  if (!stem.ends_with(kText)) return out;
  const std::string whole = stem.substr(0, stem.size() - kText.size());
  out.push_back(absl::StrCat(whole, std::string(kCausal)));
  out.push_back(absl::StrCat(whole, std::string(kConditional)));
  return out;
}

// What `architectures` and model_type name: an architecture, or a wrapper around one that its text_config names.
struct Named {
  const Architecture* architecture = nullptr;
  const Wrapper* wrapper = nullptr;
  std::string name;

  bool found() const { return architecture != nullptr || wrapper != nullptr; }
};

Named find_class(const std::string& name) {
  Named out{.architecture = find_architecture(name), .name = name};
  for (const Wrapper& w : kWrappers) {
    if (w.name == name) out.wrapper = &w;
  }
  return out;
}

Named find_type(const std::string& model_type) {
  Named out{.architecture = find_model_type(model_type)};
  if (out.architecture != nullptr) out.name = out.architecture->names[0];
  for (const Wrapper& w : kWrappers) {
    if (w.model_type != model_type) continue;
    out.wrapper = &w;
    if (out.architecture == nullptr) out.name = w.name;
    break;
  }
  return out;
}

absl::Status not_known(const std::vector<std::string>& names, const std::string& type) {
  for (const auto& name : names) {
    for (const auto& candidate : classes_of(name)) {
      const std::string_view block = missing_block(candidate);
      if (block.empty()) continue;
      return absl::UnimplementedError(absl::StrCat("config.json: the architecture ", name, " is known, but ",
                                                   std::string(block), " is not built yet"));
    }
  }
  const std::string what = !names.empty() ? absl::StrJoin(names, ", ")
                           : type.empty() ? "(none is named)"
                                          : absl::StrCat("of the model_type ", type);
  return absl::UnimplementedError(absl::StrCat(
      "config.json: the architecture ", what, " is not known; known are: ", absl::StrJoin(architecture_names(), ", ")));
}

// The first name that is known; where `architectures` is absent, by model_type.
absl::StatusOr<Named> find_named(base::JsonReader& j, std::string_view default_type = "") {
  const auto names = j.strings("architectures");
  const std::string type = j.s("model_type", default_type);
  RETURN_IF_ERROR(j.status());
  for (const auto& name : names) {
    for (const auto& candidate : classes_of(name)) {
      if (Named named = find_class(candidate); named.found()) return named;
    }
  }
  if (names.empty() && !type.empty()) {
    if (Named named = find_type(type); named.found()) return named;
  }
  return not_known(names, type);
}

const base::JsonObject* object_at(const base::JsonObject& config, std::string_view key) {
  const auto* value = config.if_contains(boost::json::string_view(key.data(), key.size()));
  return value != nullptr && value->is_object() ? &value->get_object() : nullptr;
}

// null: absent or null.
const base::JsonValue* value_at(const base::JsonObject& config, const char* key) {
  const auto* value = config.if_contains(key);
  return value != nullptr && !value->is_null() ? value : nullptr;
}

void set_tied(const base::JsonObject& config, Tied rule, base::JsonObject& text) {
  constexpr const char* kKey = "tie_word_embeddings";
  const auto* top = value_at(config, kKey);
  const auto* own = value_at(text, kKey);
  const auto off = [](const base::JsonValue& v) {
    return v.is_number() ? v.to_number<double>() == 0 : base::says_nothing(v);
  };
  if (top == nullptr && rule == Tied::kTopElseTrue) text[kKey] = true;
  if (top == nullptr) return;
  if (rule == Tied::kEither && own != nullptr && off(*top)) return;
  text[kKey] = *top;
}

// Of one level of a multimodal config around `part`: what counts for the text, and what is left out.
absl::Status take_level(const base::JsonObject& config, std::string_view part, ConfigSource& out,
                        std::vector<std::string>& left_out) {
  std::vector<std::string> refused;
  for (const auto& [key_view, value] : config) {
    const std::string key(key_view.data(), key_view.size());
    if (key == part || key == "tie_word_embeddings" || key == "quantization_config") continue;
    if (!harmless_beside_text(key) && !base::says_nothing(value)) refused.push_back(key);
    if (key.ends_with("_config") && value.is_object()) left_out.push_back(key);
    const bool of_text = key.starts_with("bos_token_id") || key.starts_with("eos_token_id") || key.ends_with("dtype");
    if (of_text && !out.text.contains(key)) out.text[key] = value;
  }
  if (const auto* value = value_at(config, "quantization_config"); value != nullptr) {
    out.text["quantization_config"] = *value;
  }
  return refuse_keys(refused, out.name);
}

absl::Status take_text_part(const base::JsonObject& config, const Wrapper* wrapper, ConfigSource& out) {
  const std::string_view inside = wrapper != nullptr ? wrapper->inside : "";
  const base::JsonObject& level = inside.empty() ? config : *object_at(config, inside);
  std::vector<std::string> left_out;
  RETURN_IF_ERROR(take_level(level, "text_config", out, left_out));
  set_tied(level, wrapper != nullptr ? wrapper->tied : Tied::kTop, out.text);
  if (!inside.empty()) RETURN_IF_ERROR(take_level(config, inside, out, left_out));
  out.left_out = absl::StrJoin(left_out, ", ");
  return absl::OkStatus();
}

// The text_config of a model that has one; null: the whole config is the text's.
const base::JsonObject* find_text(const base::JsonObject& config, const Named& named, bool by_name) {
  if (by_name && !named.name.ends_with(kConditional)) return nullptr;
  const bool nested = named.wrapper != nullptr && !named.wrapper->inside.empty();
  const base::JsonObject* level = nested ? object_at(config, named.wrapper->inside) : &config;
  return level != nullptr ? object_at(*level, "text_config") : nullptr;
}

// Around any text model: its architecture, and the keys that the wrapper's class gives it.
absl::Status name_text(const Wrapper& wrapper, ConfigSource& out) {
  const base::JsonValue text(out.text);
  base::JsonReader j(text, "text_config");
  ASSIGN_OR_RETURN(const Named named, find_named(j, wrapper.text_type));
  if (named.architecture == nullptr) return not_known({named.name}, "");
  out.architecture = named.architecture;
  out.name = named.name;
  ASSIGN_OR_RETURN(const base::JsonValue defaults,
                   base::parse_json({wrapper.text_defaults.data(), wrapper.text_defaults.size()}, {}));
  for (const auto& [key, default_value] : defaults.get_object()) {
    if (!out.text.contains(key)) out.text[key] = default_value;
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<ConfigSource> find_source(const base::JsonValue& value) {
  base::JsonReader j(value);
  RETURN_IF_ERROR(j.status());
  const base::JsonObject& config = value.get_object();
  ASSIGN_OR_RETURN(const Named named, find_named(j));
  const base::JsonObject* text = find_text(config, named, !j.strings("architectures").empty());
  ConfigSource out{.architecture = named.architecture, .name = named.name, .text = text != nullptr ? *text : config};
  const bool needs_text = named.architecture == nullptr || (named.wrapper != nullptr && !named.wrapper->inside.empty());
  if (needs_text && text == nullptr) return absl::InvalidArgumentError("config.json: text_config: missing");
  if (named.architecture == nullptr) RETURN_IF_ERROR(name_text(*named.wrapper, out));
  if (text != nullptr) RETURN_IF_ERROR(take_text_part(config, named.wrapper, out));
  if (text == nullptr && out.text.contains("vision_config")) out.left_out = "vision_config";  // or it is refused
  return out;
}

}  // namespace polymath::model
