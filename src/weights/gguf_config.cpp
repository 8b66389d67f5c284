// Source: the GGUF specification's keys (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md), and what
// llama.cpp's converter writes for Qwen2-MoE.

#include "weights/gguf_config.h"

#include <algorithm>
#include <map>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "weights/safetensors_header.h"

namespace polymath::weights {
namespace {

// A key behind "<architecture>.", and what config.json calls it.
struct Key {
  std::string_view gguf;
  std::string_view config;
  bool required = true;
};

struct GgufArchitecture {
  std::string_view name;   // general.architecture
  std::string_view model;  // an `architectures` entry of config.json
  std::vector<Key> keys;
};

const std::vector<GgufArchitecture>& known() {
  static const std::vector<GgufArchitecture> rows = {
      {"qwen2moe",
       "Qwen2MoeForCausalLM",
       {{"block_count", "num_hidden_layers"},
        {"context_length", "max_position_embeddings"},
        {"embedding_length", "hidden_size"},
        {"feed_forward_length", "intermediate_size", false},
        {"attention.head_count", "num_attention_heads"},
        {"attention.head_count_kv", "num_key_value_heads", false},
        {"attention.key_length", "head_dim", false},
        {"attention.layer_norm_rms_epsilon", "rms_norm_eps"},
        {"rope.freq_base", "rope_theta", false},
        {"expert_count", "num_experts"},
        {"expert_used_count", "num_experts_per_tok"},
        {"expert_feed_forward_length", "moe_intermediate_size"},
        {"expert_shared_feed_forward_length", "shared_expert_intermediate_size"},
        {"expert_weights_norm", "norm_topk_prob", false}}},
  };
  return rows;
}

absl::StatusOr<const GgufArchitecture*> architecture_of(const base::JsonObject& metadata) {
  const base::JsonValue* value = metadata.if_contains("general.architecture");
  if (value == nullptr || !value->is_string()) {
    return absl::InvalidArgumentError("general.architecture: must be a string");
  }
  const std::string name(value->get_string().data(), value->get_string().size());
  std::vector<std::string> names;
  for (const GgufArchitecture& a : known()) {
    if (a.name == name) return &a;
    names.emplace_back(a.name);
  }
  return absl::UnimplementedError(absl::StrCat("the GGUF architecture ", shown_name(name),
                                               " is not known; known are: ", absl::StrJoin(names, ", ")));
}

// Keys that repeat what follows from others: they must agree.
absl::Status check_implied(const std::string& prefix, const base::JsonObject& metadata,
                           const base::JsonObject& config) {
  const auto number = [](const base::JsonValue* v) { return v != nullptr && v->is_int64() ? v->get_int64() : 0; };
  const int64_t heads = number(config.if_contains("num_attention_heads"));
  int64_t head_dim = number(config.if_contains("head_dim"));
  if (head_dim == 0 && heads > 0) head_dim = number(config.if_contains("hidden_size")) / heads;
  for (const char* key : {"rope.dimension_count", "attention.value_length"}) {
    const base::JsonValue* value = metadata.if_contains(prefix + key);
    if (value == nullptr || number(value) == head_dim) continue;
    return absl::UnimplementedError(
        absl::StrCat(prefix, key, " is not the width of a head, ", head_dim, ": that is not built yet"));
  }
  return absl::OkStatus();
}

// Every key changes the model, so an unknown one is refused.
absl::Status check_keys(const GgufArchitecture& architecture, const std::string& prefix,
                        const base::JsonObject& metadata) {
  constexpr std::string_view kImplied[] = {"vocab_size", "rope.dimension_count", "attention.value_length"};
  for (const auto& member : metadata) {
    const std::string_view key(member.key().data(), member.key().size());
    if (!key.starts_with(prefix)) continue;
    const std::string_view rest = key.substr(prefix.size());
    const bool in_table = std::any_of(architecture.keys.begin(), architecture.keys.end(),
                                      [&](const Key& row) { return row.gguf == rest; });
    if (in_table || std::find(std::begin(kImplied), std::end(kImplied), rest) != std::end(kImplied)) continue;
    if (rest == "rope.scaling.type" && member.value() == "none") continue;
    return absl::UnimplementedError(absl::StrCat("metadata ", shown_name(key), " is not known"));
  }
  return absl::OkStatus();
}

const GgufTensor* find(const GgufHeader& header, std::string_view name) {
  const auto at =
      std::find_if(header.tensors.begin(), header.tensors.end(), [&](const GgufTensor& t) { return t.name == name; });
  return at == header.tensors.end() ? nullptr : &*at;
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

absl::StatusOr<base::JsonValue> gguf_config(const GgufHeader& header) {
  ASSIGN_OR_RETURN(const GgufArchitecture* architecture, architecture_of(header.metadata));
  const std::string prefix = absl::StrCat(std::string(architecture->name), ".");
  RETURN_IF_ERROR(check_keys(*architecture, prefix, header.metadata));
  base::JsonObject config;
  config["architectures"] =
      base::JsonArray{boost::json::string(architecture->model.data(), architecture->model.size())};
  for (const Key& key : architecture->keys) {
    const std::string name = absl::StrCat(prefix, std::string(key.gguf));
    const base::JsonValue* value = header.metadata.if_contains(name);
    if (value == nullptr && key.required)
      return absl::InvalidArgumentError(absl::StrCat("metadata ", name, ": missing"));
    if (value != nullptr) config[boost::json::string_view(key.config.data(), key.config.size())] = *value;
  }
  if (!config.contains("num_key_value_heads")) config["num_key_value_heads"] = config["num_attention_heads"];
  RETURN_IF_ERROR(check_implied(prefix, header.metadata, config));
  const GgufTensor* embeddings = find(header, "token_embd.weight");
  if (embeddings == nullptr) return absl::InvalidArgumentError("tensor \"token_embd.weight\" is missing");
  config["vocab_size"] = embeddings->shape[0];
  config["tie_word_embeddings"] = find(header, "output.weight") == nullptr;
  config["qkv_bias"] = find(header, "blk.0.attn_q.bias") != nullptr;
  const std::string_view type = main_type(header);
  config["dtype"] = boost::json::string(type.data(), type.size());
  add_token_ids(header.metadata, config);
  return base::JsonValue(std::move(config));
}

}  // namespace polymath::weights
