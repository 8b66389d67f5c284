#include "model/config_keys.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/check.h"

namespace polymath::model {
namespace {

constexpr size_t kListedMax = 8;  // keys named in one message; the others are counted

// Written by transformers, training tools and converters; sorted. Those of sliding windows are harmless where the class
// has none: an architecture with windows reads them.
constexpr std::string_view kHarmless[] = {
    "add_cross_attention",
    "architectures",
    "attn_implementation",
    "auto_map",
    "aux_loss_alpha",
    "bad_words_ids",
    "begin_suppress_tokens",
    "bos_token",
    "chat_template",
    "chunk_size_feed_forward",
    "cross_attention_hidden_size",
    "diversity_penalty",
    "do_sample",
    "dtype",
    "early_stopping",
    "encoder_no_repeat_ngram_size",
    "eos_token",
    "ep_size",
    "experts_implementation",
    "exponential_decay_length_penalty",
    "finetuning_task",
    "fsdp",
    "gradient_checkpointing",
    "id2label",
    "is_decoder",
    "is_encoder_decoder",
    "keys_to_ignore_at_inference",
    "label2id",
    "length_penalty",
    "license",
    "max_length",
    "max_new_tokens",
    "max_window_layers",
    "min_length",
    "model_type",
    "name_or_path",
    "no_repeat_ngram_size",
    "num_beam_groups",
    "num_beams",
    "num_labels",
    "num_return_sequences",
    "output_attentions",
    "output_hidden_states",
    "output_router_logits",
    "output_scores",
    "pad_token",
    "prefix",
    "pretraining_tp",
    "problem_type",
    "pruned_heads",
    "remove_invalid_values",
    "repetition_penalty",
    "return_dict",
    "return_dict_in_generate",
    "router_aux_loss_coef",
    "router_bias_update_speed",
    "router_jitter_noise",
    "router_z",
    "router_z_loss_coef",
    "seq_aux",
    "sliding_window",
    "suppress_tokens",
    "task_specific_params",
    "temperature",
    "tensor_parallel_size",
    "tf_legacy_loss",
    "tie_encoder_decoder",
    "time_step_limit",
    "tokenizer_class",
    "top_k",
    "top_p",
    "torch_dtype",
    "torchscript",
    "transformers_version",
    "typical_p",
    "use_bfloat16",
    "use_cache",
    "use_sliding_window",
    "vocab_file",
};
constexpr std::string_view kHarmlessPrefixes[] = {"_", "initializer_", "unsloth_"};
constexpr std::string_view kHarmlessSuffixes[] = {
    "_token_id", "_token_ids", "_token_index", "_dropout", "_pdrop", "_dropout_prob", "_loss_coef", "_loss_weight",
};
// Beside a multimodal model's text_config; sorted.
constexpr std::string_view kBesideText[] = {
    "downsample_ratio",
    "dynamic_image_size",
    "enable_audio_output",
    "force_image_size",
    "hidden_size",
    "ignore_index",
    "image_grid_pinpoints",
    "image_seq_length",
    "image_size",
    "img_context_token",
    "mm_hidden_size",
    "mm_projector_type",
    "multimodal_projector_bias",
    "position_id_per_seconds",
    "projection_dim",
    "projection_hidden_size",
    "projection_layer_norm_eps",
    "projector_hidden_act",
    "projector_layernorm_eps",
    "projector_pooling_ratio",
    "ps_version",
    "spatial_merge_size",
    "spatial_pool_mode",
    "spatial_pool_stride",
    "tile_tag",
    "use_image_newline_parameter",
    "use_thumbnail",
    "use_unified_vision_chunk",
    "video_placeholder",
    "video_seq_length",
    "vision_aspect_ratio",
    "vision_feature_layer",
    "vision_feature_layers",
    "vision_feature_select_strategy",
    "vision_use_cls_token",
    "vocab_size",
};

bool contains(std::span<const std::string_view> list, std::string_view key) {
  return std::find(list.begin(), list.end(), key) != list.end();
}

boost::json::string_view boost_view(std::string_view text) { return {text.data(), text.size()}; }

// An object that an architecture's table has as text.
base::JsonObject literal(std::string_view text) {
  const auto value = base::parse_json(text, {});
  CHECK(value.ok() && value->is_object());
  return value->get_object();
}

bool same(const base::JsonValue& a, const base::JsonValue& b) {
  return a.is_number() && b.is_number() ? a.to_number<double>() == b.to_number<double>() : a == b;
}

// Objects called "_config" have defaults of their own members; others are taken or left whole.
void fill_absent(base::JsonObject& object, const base::JsonObject& defaults) {
  for (const auto& [key, value] : defaults) {
    auto* member = object.if_contains(key);
    if (member == nullptr || (member->is_null() && value.is_object())) {
      object[key] = value;
    } else if (member->is_object() && value.is_object() && key.ends_with("_config")) {
      fill_absent(member->get_object(), value.get_object());
    }
  }
}

}  // namespace

absl::StatusOr<base::JsonObject> regular_config(const base::JsonObject& config, const ConfigKeys& keys) {
  base::JsonObject out = config;
  for (const KeyAlias& alias : keys.aliases) {
    const auto at = out.find(boost_view(alias.alias));
    if (at == out.end()) continue;
    const base::JsonValue value = at->value();
    out.erase(at);
    auto* known = out.if_contains(boost_view(alias.key));
    if (value.is_null() && known != nullptr) continue;
    if (known != nullptr && !known->is_null() && !same(*known, value)) {
      return absl::InvalidArgumentError(absl::StrCat(std::string(alias.key), ": ", base::to_text(*known), ", but ",
                                                     std::string(alias.alias), " is ", base::to_text(value)));
    }
    out[boost_view(alias.key)] = value;
  }
  fill_absent(out, literal(keys.defaults));
  return out;
}

void override_keys(base::JsonObject& config, const base::JsonObject& overrides) {
  for (const auto& [key, value] : overrides) {
    auto* member = config.if_contains(key);
    if (value.is_null()) {
      config.erase(key);
    } else if (member != nullptr && member->is_object() && value.is_object()) {
      override_keys(member->get_object(), value.get_object());
    } else {
      config[key] = value;
    }
  }
}

std::optional<backend::GluKind> glu_kind(std::string_view name) {
  using backend::GluKind;
  constexpr std::pair<std::string_view, GluKind> kNames[] = {
      {"silu", GluKind::kSilu},
      {"swish", GluKind::kSilu},
      {"gelu", GluKind::kGeluErf},
      {"gelu_python", GluKind::kGeluErf},
      {"gelu_new", GluKind::kGelu},
      {"gelu_fast", GluKind::kGelu},
      {"gelu_accurate", GluKind::kGelu},
      {"gelu_python_tanh", GluKind::kGelu},
      {"gelu_pytorch_tanh", GluKind::kGelu},
  };
  for (const auto& [known, kind] : kNames) {
    if (known == name) return kind;
  }
  return std::nullopt;
}

bool harmless_everywhere(std::string_view key) {
  return contains(kHarmless, key) ||
         std::any_of(std::begin(kHarmlessPrefixes), std::end(kHarmlessPrefixes),
                     [&](std::string_view p) { return key.starts_with(p); }) ||
         std::any_of(std::begin(kHarmlessSuffixes), std::end(kHarmlessSuffixes),
                     [&](std::string_view s) { return key.ends_with(s); });
}

std::vector<std::string> keys_harmless_everywhere() {
  std::vector<std::string> out(std::begin(kHarmless), std::end(kHarmless));
  for (const std::string_view prefix : kHarmlessPrefixes) out.push_back(absl::StrCat(std::string(prefix), "*"));
  for (const std::string_view suffix : kHarmlessSuffixes) out.push_back(absl::StrCat("*", std::string(suffix)));
  return out;
}

bool harmless_beside_text(std::string_view key) {
  return harmless_everywhere(key) || contains(kBesideText, key) ||
         (key.ends_with("_config") && key != "text_config" && key != "quantization_config");
}

absl::Status refuse_keys(const std::vector<std::string>& keys, std::string_view name) {
  if (keys.empty()) return absl::OkStatus();
  const size_t listed = std::min(keys.size(), kListedMax);
  const std::vector<std::string> first(keys.begin(), keys.begin() + static_cast<ptrdiff_t>(listed));
  return absl::UnimplementedError(
      absl::StrCat("config.json: ", absl::StrJoin(first, ", "),
                   keys.size() > listed ? absl::StrCat(" and ", keys.size() - listed, " more") : "",
                   keys.size() > 1 ? ": these keys are" : ": this key is", " not known for ", std::string(name),
                   " and may change its output; to serve without, use --hf-overrides '{\"", keys[0], "\": null}'"));
}

absl::Status check_all_read(const base::JsonReader& j, const base::JsonObject& original, const ConfigKeys& keys,
                            std::string_view name) {
  std::vector<std::string> refused = j.unread();
  const base::JsonObject fixed = literal(keys.fixed), &regular = j.value().get_object();
  std::erase_if(refused, [&](const std::string& path) {
    const size_t dot = path.rfind('.');
    if (!original.contains(path.substr(0, path.find('.')))) return true;  // a default
    if (fixed.contains(path)) return true;                                // refused below
    if (contains(keys.harmless, path)) return true;
    if (dot == std::string::npos) return harmless_everywhere(path);
    return contains(keys.harmless, path.substr(0, dot) + ".*") && harmless_everywhere(path.substr(dot + 1));
  });
  for (const auto& [key, only] : fixed) {
    const auto* value = regular.if_contains(key);
    // A false says something here: that the model lacks what the architecture has.
    const bool silent = value == nullptr || (base::says_nothing(*value) && !value->is_bool());
    if (!silent && !same(only, *value)) refused.emplace_back(key);
  }
  return refuse_keys(refused, name);
}

}  // namespace polymath::model
