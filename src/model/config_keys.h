#pragma once

// The keys of config.json, as data of each architecture: other names, defaults, and keys without effect. A key that is
// neither there nor read by `parse` refuses the config.
//
//   ASSIGN_OR_RETURN(const base::JsonObject config, regular_config(original, architecture->keys));
//   base::JsonReader j(config);
//   j.read_as_config();
//   ModelConfig c = architecture->parse(j);
//   RETURN_IF_ERROR(check_all_read(j, original, architecture->keys, name));
//
// Source: the configuration classes of transformers 5.24 (defaults, attribute_map).

#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "backend/params.h"
#include "base/json.h"

namespace polymath::model {

struct KeyAlias {
  std::string_view alias, key;  // `parse` reads `key`
};

struct ConfigKeys {
  std::vector<std::string_view> model_types;  // "mixtral"; chooses the architecture where `architectures` is absent
  std::string_view defaults = "{}";           // JSON: what the model's class takes for absent keys
  std::vector<KeyAlias> aliases = {};
  // Keys that change no output: of training, or repeated elsewhere. "a.b": b inside a. "a.*": inside a, what is
  // harmless everywhere.
  std::vector<std::string_view> harmless = {};
  // JSON: keys that may be there with this value only. Another one would be another model.
  std::string_view fixed = "{}";
  bool reads_hidden_act = true;  // false: `parse` chooses the activation
};

// `config` with every alias replaced by its key, and the defaults in place of absent keys. An absent key differs from
// null, which no default replaces. kInvalidArgument: a key and its alias disagree.
absl::StatusOr<base::JsonObject> regular_config(const base::JsonObject& config, const ConfigKeys& keys);

// Puts the members of `overrides` in place of those of `config`: objects member by member, and null takes one away.
void override_keys(base::JsonObject& config, const base::JsonObject& overrides);

// "silu", "gelu_pytorch_tanh", as hidden_act names it; absent: not built.
std::optional<backend::GluKind> glu_kind(std::string_view name);

// Whether a key changes no output whatever the architecture: what transformers writes for training and generation.
bool harmless_everywhere(std::string_view key);
// Those keys; "x_*" and "*_x" are all that begin or end so.
std::vector<std::string> keys_harmless_everywhere();
// Whether a key of a multimodal model's config concerns other parts than the text.
bool harmless_beside_text(std::string_view key);

// kUnimplemented, naming the keys: some of `original` were neither read nor are harmless. `name`: the architecture's.
absl::Status check_all_read(const base::JsonReader& j, const base::JsonObject& original, const ConfigKeys& keys,
                            std::string_view name);
absl::Status refuse_keys(const std::vector<std::string>& keys, std::string_view name);

}  // namespace polymath::model
