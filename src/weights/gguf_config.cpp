#include "weights/gguf_config.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "weights/gguf_architectures.h"
#include "weights/safetensors_header.h"

namespace polymath::weights {
namespace {

constexpr std::string_view kRopeFreqs = "rope_freqs.weight", kFactorsLong = "rope_factors_long.weight",
                           kFactorsShort = "rope_factors_short.weight";

// Keys that take() and the functions around it read by themselves.
constexpr std::string_view kRead[] = {
    "vocab_size",
    "expert_gating_func",
    "nextn_predict_layers",
    "attention.causal",
    "attention.value_length",
    "attention.key_length_mla",
    "attention.value_length_mla",
    "attention.sliding_window_pattern",
    "attention.temperature_scale",
    "attention.temperature_length",
    "rope.dimension_count",
    "rope.dimension_sections",
    "rope.scaling.type",
    "rope.scaling.factor",
    "rope.scaling.original_context_length",
    "rope.scaling.attn_factor",
    "rope.scaling.yarn_attn_factor",
    "rope.scaling.yarn_log_multiplier",
    "rope.scaling.yarn_beta_fast",
    "rope.scaling.yarn_beta_slow",
    "rope.scaling.yarn_ext_factor",
    "rope.scaling.finetuned",
};

boost::json::string_view json_view(std::string_view s) { return {s.data(), s.size()}; }

std::string_view name_of(const base::JsonObject& metadata) {
  const base::JsonValue* value = metadata.if_contains("general.architecture");
  return value != nullptr && value->is_string()
             ? std::string_view(value->get_string().data(), value->get_string().size())
             : std::string_view();
}

const GgufTensor* find(const GgufHeader& header, std::string_view name) {
  const auto at =
      std::find_if(header.tensors.begin(), header.tensors.end(), [&](const GgufTensor& t) { return t.name == name; });
  return at == header.tensors.end() ? nullptr : &*at;
}

// The metadata of one architecture, by the keys behind its name. Complaints go to the status; the first counts.
class Metadata {
 public:
  Metadata(const base::JsonObject& all, std::string_view architecture)
      : all_(all), prefix_(absl::StrCat(std::string(architecture), ".")) {}

  const base::JsonValue* find(std::string_view key) const {
    return all_.if_contains(json_view(absl::StrCat(prefix_, std::string(key))));
  }
  bool has(std::string_view key) const { return find(key) != nullptr; }
  double number(std::string_view key, double fallback) {
    const base::JsonValue* value = find(key);
    if (value == nullptr) return fallback;
    if (value->is_number()) return value->to_number<double>();
    complain(key, "must be a number");
    return fallback;
  }
  int64_t integer(std::string_view key, int64_t fallback) {
    const double value = number(key, static_cast<double>(fallback));
    if (value == std::floor(value) && std::abs(value) < 1e15) return static_cast<int64_t>(value);
    complain(key, "must be an integer");
    return fallback;
  }
  void complain(std::string_view key, std::string_view what) {
    if (status_.ok()) {
      status_ = absl::InvalidArgumentError(absl::StrCat("metadata ", name(key), ": ", std::string(what)));
    }
  }
  void not_built(std::string_view key, std::string_view what) {
    if (status_.ok()) {
      status_ = absl::UnimplementedError(
          absl::StrCat("metadata ", name(key), " ", std::string(what), ": that is not built yet"));
    }
  }
  std::string name(std::string_view key) const { return absl::StrCat(prefix_, std::string(key)); }
  const std::string& prefix() const { return prefix_; }
  const absl::Status& status() const { return status_; }

 private:
  const base::JsonObject& all_;
  const std::string prefix_;
  absl::Status status_;
};

// Keys of an architecture: its own, then the common ones that it does not rename.
std::vector<GgufKey> keys_of(const GgufArchitecture& a) {
  std::vector<GgufKey> keys = a.keys;
  for (const GgufKey& common : gguf_common_keys()) {
    if (std::none_of(a.keys.begin(), a.keys.end(), [&](const GgufKey& k) { return k.gguf == common.gguf; })) {
      keys.push_back(common);
    }
  }
  return keys;
}

absl::StatusOr<const GgufArchitecture*> architecture_of(const base::JsonObject& metadata) {
  const std::string_view name = name_of(metadata);
  if (name.empty()) return absl::InvalidArgumentError("general.architecture: must be a string");
  Metadata m(metadata, name);
  std::set<std::string> names;
  for (const GgufArchitecture& a : gguf_architectures()) {
    if (!a.model.empty()) names.emplace(a.name);
    if (a.name != name) continue;
    const int64_t value = a.when.empty() ? 1 : m.integer(a.when, 0);
    RETURN_IF_ERROR(m.status());
    if (a.value < 0 ? value == 0 : value != a.value) continue;
    if (!a.model.empty()) return &a;
    return absl::UnimplementedError(absl::StrCat("the GGUF architecture ", shown_name(name), " is not built yet"));
  }
  return absl::UnimplementedError(absl::StrCat("the GGUF architecture ", shown_name(name),
                                               " is not known; known are: ", absl::StrJoin(names, ", ")));
}

// Every key changes the model, so an unknown one is refused.
absl::Status check_keys(const std::vector<GgufKey>& keys, const std::string& prefix, const base::JsonObject& metadata) {
  for (const auto& member : metadata) {
    const std::string_view key(member.key().data(), member.key().size());
    if (!key.starts_with(prefix)) continue;
    const std::string_view rest = key.substr(prefix.size());
    const bool in_table = std::any_of(keys.begin(), keys.end(), [&](const GgufKey& row) { return row.gguf == rest; });
    if (in_table || std::find(std::begin(kRead), std::end(kRead), rest) != std::end(kRead)) continue;
    return absl::UnimplementedError(absl::StrCat("metadata ", shown_name(key), " is not known"));
  }
  return absl::OkStatus();
}

// "a.b": b inside a.
void put(base::JsonObject& config, std::string_view key, base::JsonValue value) {
  const size_t dot = key.find('.');
  if (dot == key.npos) {
    config[json_view(key)] = std::move(value);
    return;
  }
  base::JsonValue& inside = config[json_view(key.substr(0, dot))];
  if (!inside.is_object()) inside = base::JsonObject();
  inside.get_object()[json_view(key.substr(dot + 1))] = std::move(value);
}

// One value for all layers. An array has one a layer.
const base::JsonValue* of_all_layers(Metadata& m, std::string_view key) {
  const base::JsonValue* value = m.find(key);
  if (value == nullptr || !value->is_array()) return value;
  const base::JsonArray& list = value->get_array();
  if (list.empty()) return m.complain(key, "must not be empty"), nullptr;
  if (std::any_of(list.begin(), list.end(), [&](const base::JsonValue& v) { return v != list[0]; })) {
    m.not_built(key, "differs between layers");
  }
  return &list[0];
}

void take_keys(Metadata& m, const std::vector<GgufKey>& keys, base::JsonObject& config) {
  for (const std::string_view key : {"block_count", "context_length", "embedding_length", "attention.head_count"}) {
    if (!m.has(key)) m.complain(key, "missing");
  }
  for (const GgufKey& key : keys) {
    const base::JsonValue* value = of_all_layers(m, key.gguf);
    if (value != nullptr && !key.config.empty()) put(config, key.config, *value);
  }
}

// What an absent key means in GGUF, where config.json's own default is another.
void take_defaults(const GgufArchitecture& a, Metadata& m, const std::vector<GgufKey>& keys, base::JsonObject& config) {
  const auto put_absent = [&](std::string_view key, const base::JsonValue& value) {
    const auto row = std::find_if(keys.begin(), keys.end(), [&](const GgufKey& k) { return k.gguf == key; });
    if (!m.has(key) && row != keys.end() && !row->config.empty()) put(config, row->config, value);
  };
  put_absent("rope.freq_base", 10000.0);
  if (a.name == "ernie4_5-moe" || config.contains("n_routed_experts")) {
    put_absent("leading_dense_block_count", 0);
    put_absent("expert_shared_count", 0);
  }
  if (config.contains("n_routed_experts")) {
    put_absent("expert_weights_norm", false);
    put_absent("expert_weights_scale", 1.0);
  }
  if (a.latent || a.name == "bailingmoe2") {
    put_absent("expert_group_count", 1);
    put_absent("expert_group_used_count", 1);
  }
}

// Blocks past the layers predict further tokens. They are not served.
void take_depth(Metadata& m, const std::vector<GgufKey>& keys, base::JsonObject& config) {
  const int64_t further = m.integer("nextn_predict_layers", 0), blocks = m.integer("block_count", 0);
  if (further < 0 || (further > 0 && further >= blocks)) return m.complain("nextn_predict_layers", "is out of range");
  const auto depth = std::find_if(keys.begin(), keys.end(), [](const GgufKey& k) { return k.gguf == "block_count"; });
  put(config, depth->config, blocks - further);
}

int64_t head_dim_of(Metadata& m) {
  const int64_t heads = m.integer("attention.head_count", 0);
  return m.integer("attention.key_length", heads > 0 ? m.integer("embedding_length", 0) / heads : 0);
}

// The parts of a head under latent attention. Files from before its absorption lack the _mla keys.
void take_latent(Metadata& m, base::JsonObject& config) {
  const int64_t rotated = m.integer("rope.dimension_count", 0);
  const bool absorbed = m.has("attention.key_length_mla");
  const int64_t key = m.integer(absorbed ? "attention.key_length_mla" : "attention.key_length", 0);
  const int64_t value = m.integer(absorbed ? "attention.value_length_mla" : "attention.value_length", 0);
  if (rotated < 1 || rotated >= key) m.complain("rope.dimension_count", "must be less than the length of a key");
  config["qk_rope_head_dim"] = rotated;
  config["qk_nope_head_dim"] = key - rotated;
  config["v_head_dim"] = value;
  config["num_key_value_heads"] = m.integer("attention.head_count", 0);
  config.erase("head_dim");
  if (!config.contains("q_lora_rank")) config["q_lora_rank"] = nullptr;
}

void take_heads(const GgufArchitecture& a, Metadata& m, base::JsonObject& config) {
  if (a.latent) return take_latent(m, config);
  const int64_t head = head_dim_of(m), rotated = m.integer("rope.dimension_count", head);
  if (m.integer("attention.value_length", head) != head) {
    m.not_built("attention.value_length", absl::StrCat("is not the width of a head, ", head));
  }
  if (rotated != head && (!a.partial_rotary || rotated < 2 || rotated > head)) {
    return m.not_built("rope.dimension_count", absl::StrCat("is not the width of a head, ", head));
  }
  if (a.partial_rotary) config["partial_rotary_factor"] = static_cast<double>(rotated) / static_cast<double>(head);
}

// A tensor of float32 values.
absl::StatusOr<base::JsonArray> values_of(const GgufTensor& t, std::span<const std::byte> file) {
  if (t.type->name != "F32" || t.part != 0 || t.begin > file.size() || t.bytes > file.size() - t.begin) {
    return absl::InvalidArgumentError(absl::StrCat("tensor ", shown_name(t.name), ": must be F32, in the first part"));
  }
  base::JsonArray out;
  for (int64_t i = 0; i < t.shape.elements(); ++i) {
    float value;
    std::memcpy(&value, file.data() + t.begin + static_cast<size_t>(i) * sizeof(value), sizeof(value));
    if (!(value > 0) || !std::isfinite(value)) {
      return absl::InvalidArgumentError(absl::StrCat("tensor ", shown_name(t.name), ": must be positive"));
    }
    out.push_back(static_cast<double>(value));
  }
  return out;
}

// What each frequency is divided by. Llama 3.1's scaling is there in this form, and long rope's.
absl::Status take_factors(const GgufHeader& header, std::span<const std::byte> file, Metadata& m,
                          base::JsonObject& scaling) {
  const GgufTensor *one = find(header, kRopeFreqs), *longs = find(header, kFactorsLong),
                   *shorts = find(header, kFactorsShort);
  if (one == nullptr && longs == nullptr && shorts == nullptr) return absl::OkStatus();
  if (one == nullptr && (longs == nullptr || shorts == nullptr)) {
    return absl::InvalidArgumentError("one of the tensors rope_factors_long and rope_factors_short is missing");
  }
  const std::string type = scaling.contains("rope_type") ? std::string(scaling["rope_type"].get_string()) : "default";
  if (type != "default" && type != "longrope") {
    m.not_built("rope.scaling.type", "goes with factors of each frequency");
    return m.status();
  }
  ASSIGN_OR_RETURN(scaling["short_factor"], values_of(one != nullptr ? *one : *shorts, file));
  ASSIGN_OR_RETURN(scaling["long_factor"], values_of(one != nullptr ? *one : *longs, file));
  scaling["rope_type"] = "longrope";
  if (!scaling.contains("factor")) scaling["factor"] = 1.0;
  if (!scaling.contains("attention_factor")) scaling["attention_factor"] = 1.0;
  if (!scaling.contains("original_max_position_embeddings")) {
    scaling["original_max_position_embeddings"] = m.integer("context_length", 0);
  }
  return absl::OkStatus();
}

void take_scaling(const GgufArchitecture& a, Metadata& m, base::JsonObject& scaling) {
  const base::JsonValue* type = m.find("rope.scaling.type");
  if (type != nullptr) {
    const std::string name = type->is_string() ? std::string(type->get_string()) : "";
    if (name != "none" && name != "linear" && name != "yarn" && name != "longrope") {
      return m.complain("rope.scaling.type", "must be none, linear, yarn or longrope");
    }
    scaling["rope_type"] = name == "none" ? "default" : boost::json::string(name);
    if (name == "none") return;
  }
  constexpr GgufKey kNumbers[] = {{"rope.scaling.factor", "factor"},
                                  {"rope.scaling.original_context_length", "original_max_position_embeddings"},
                                  {"rope.scaling.attn_factor", "attention_factor"},
                                  {"rope.scaling.yarn_attn_factor", "attention_factor"},
                                  {"rope.scaling.yarn_beta_fast", "beta_fast"},
                                  {"rope.scaling.yarn_beta_slow", "beta_slow"}};
  for (const GgufKey& key : kNumbers) {
    if (const auto* value = m.find(key.gguf); value != nullptr) scaling[json_view(key.config)] = *value;
  }
  if (m.number("rope.scaling.yarn_ext_factor", 1) != 1) m.not_built("rope.scaling.yarn_ext_factor", "is not 1");
  if (m.has("rope.scaling.yarn_log_multiplier")) {
    // Files keep one of Hugging Face's two factors. They are equal in the models that have them.
    const double scale = m.number("rope.scaling.yarn_log_multiplier", 0) / a.log_multiplier;
    scaling["mscale"] = scaling["mscale_all_dim"] = scale;
  }
  if (a.name == "mistral3" || a.name == "mistral4") {
    scaling["llama_4_scaling_beta"] = m.number("attention.temperature_scale", 0);
  } else if (m.has("attention.temperature_scale")) {
    m.not_built("attention.temperature_scale", "is set");
  }
}

absl::Status take_rotation(const GgufArchitecture& a, const GgufHeader& header, std::span<const std::byte> file,
                           Metadata& m, base::JsonObject& config) {
  base::JsonObject scaling, implied;
  if (const auto* constant = config.if_contains("rope_scaling"); constant != nullptr) implied = constant->get_object();
  config.erase("rope_scaling");
  take_scaling(a, m, scaling);
  RETURN_IF_ERROR(take_factors(header, file, m, scaling));
  if (scaling.empty()) return absl::OkStatus();
  if (scaling.contains("rope_type") && scaling["rope_type"] == "yarn") {
    for (const auto& member : implied) scaling[member.key()] = member.value();
  }
  config["rope_scaling"] = std::move(scaling);
  return absl::OkStatus();
}

// true: a window, of the layer.
void take_windows(Metadata& m, base::JsonObject& config) {
  if (const auto* causal = m.find("attention.causal"); causal != nullptr && *causal != true) {
    m.not_built("attention.causal", "is false");
  }
  if (const auto* window = config.if_contains("sliding_window"); window != nullptr && *window == 0) {
    config["sliding_window"] = nullptr;
  }
  const base::JsonValue* pattern = m.find("attention.sliding_window_pattern");
  if (pattern == nullptr) return;
  if (!pattern->is_array()) return m.not_built("attention.sliding_window_pattern", "is no array");
  base::JsonArray types;
  for (const base::JsonValue& slides : pattern->get_array()) {
    if (!slides.is_bool()) return m.complain("attention.sliding_window_pattern", "must be an array of booleans");
    types.push_back(slides.get_bool() ? "sliding_attention" : "full_attention");
  }
  const auto layers = static_cast<size_t>(m.integer("block_count", 0) - m.integer("nextn_predict_layers", 0));
  if (types.size() < layers) return m.complain("attention.sliding_window_pattern", "must have one entry a layer");
  types.resize(layers);
  config["layer_types"] = std::move(types);
}

void take_routing(const GgufArchitecture& a, Metadata& m, base::JsonObject& config) {
  const int64_t gating = m.integer("expert_gating_func", 0);
  if (gating != 0 && gating != a.gating) {
    m.not_built("expert_gating_func", absl::StrCat("is ", gating, ", not ", a.gating, ", in ", std::string(a.model)));
  }
  if (a.model != "DeepseekV2ForCausalLM") return;
  config["topk_method"] = m.integer("expert_group_count", 1) > 1 ? "group_limited_greedy" : "greedy";
}

// What the tensors say.
void take_presence(const GgufArchitecture& a, const GgufHeader& header, base::JsonObject& config) {
  const auto has = [&](std::string_view name) { return find(header, name) != nullptr; };
  config["tie_word_embeddings"] = !has("output.weight");
  if (!a.bias.empty()) put(config, a.bias, has("blk.0.attn_q.bias") || has("blk.0.attn_qkv.bias"));
  if (!a.qk_norm.empty()) put(config, a.qk_norm, has("blk.0.attn_q_norm.weight"));
  if (a.name == "phimoe") config["lm_head_bias"] = has("output.bias");
  if (a.name == "bailingmoe2") {
    config["moe_router_enable_expert_bias"] =
        std::any_of(header.tensors.begin(), header.tensors.end(),
                    [](const auto& t) { return t.name.find(".exp_probs_b") != std::string::npos; });
  }
  if (a.name == "llama4") {  // Maverick, of 128 experts, has no norms of q and k
    const auto* experts = config.if_contains("num_local_experts");
    config["use_qk_norm"] = experts == nullptr || *experts != 128;
  }
}

// The plain type of most of the matrices' bytes. bfloat16: most are packed.
std::string_view main_type(const GgufHeader& header) {
  std::map<std::string_view, uint64_t> bytes;
  for (const GgufTensor& t : header.tensors) {
    if (t.shape.rank() >= 2) bytes[t.type->format] += t.bytes;
  }
  const auto most =
      std::max_element(bytes.begin(), bytes.end(), [](const auto& a, const auto& b) { return a.second < b.second; });
  const quant::QuantFormat* format = most == bytes.end() ? nullptr : quant::find_format(most->first);
  return format != nullptr && format->plain() ? format->name : quant::kBf16.name;
}

void add_token_ids(const base::JsonObject& metadata, base::JsonObject& config) {
  const auto id = [&](const char* key) { return metadata.if_contains(std::string("tokenizer.ggml.") + key); };
  if (const auto* bos = id("bos_token_id"); bos != nullptr) config["bos_token_id"] = *bos;
  base::JsonArray eos;
  for (const char* key : {"eos_token_id", "eot_token_id", "eom_token_id"}) {
    if (const auto* value = id(key); value != nullptr) eos.push_back(*value);
  }
  if (!eos.empty()) config["eos_token_id"] = std::move(eos);
}

}  // namespace

bool is_rope_tensor(std::string_view name) {
  return name == kRopeFreqs || name == kFactorsLong || name == kFactorsShort;
}

absl::StatusOr<base::JsonValue> gguf_config(const GgufHeader& header, std::span<const std::byte> file) {
  ASSIGN_OR_RETURN(const GgufArchitecture* architecture, architecture_of(header.metadata));
  const GgufArchitecture& a = *architecture;
  Metadata m(header.metadata, a.name);
  const std::vector<GgufKey> keys = keys_of(a);
  RETURN_IF_ERROR(check_keys(keys, m.prefix(), header.metadata));
  ASSIGN_OR_RETURN(base::JsonValue out, base::parse_json(a.constants, {}));
  base::JsonObject& config = out.get_object();
  config["architectures"] = base::JsonArray{boost::json::string(a.model.data(), a.model.size())};
  take_keys(m, keys, config);
  take_defaults(a, m, keys, config);
  take_depth(m, keys, config);
  take_heads(a, m, config);
  take_windows(m, config);
  take_routing(a, m, config);
  RETURN_IF_ERROR(take_rotation(a, header, file, m, config));
  take_presence(a, header, config);
  RETURN_IF_ERROR(m.status());
  const GgufTensor* embeddings = find(header, "token_embd.weight");
  if (embeddings == nullptr) return absl::InvalidArgumentError("tensor \"token_embd.weight\" is missing");
  config["vocab_size"] = embeddings->shape[0];
  const std::string_view type = main_type(header);
  config["dtype"] = boost::json::string(type.data(), type.size());
  add_token_ids(header.metadata, config);
  return out;
}

}  // namespace polymath::weights
