#include "text/gguf_tokenizer.h"

#include <algorithm>
#include <iterator>

#include "absl/strings/str_cat.h"
#include "text/tokenizer/json_node.h"

namespace polymath::text {
namespace {

constexpr const char* kPrefix = "tokenizer.ggml.";
constexpr const char* kTemplateKey = "tokenizer.chat_template";

// ggml's kinds of tokens that are not part of the merges' vocabulary.
constexpr int64_t kControl = 3, kUserDefined = 4, kUnused = 5;

// How text is cut before the merges, by tokenizer.ggml.pre.
struct PreTokenizer {
  std::string_view name;
  std::string_view normalizer;  // empty: none
  std::string_view pattern;
};
// Source: tokenizer.json of Qwen/Qwen1.5-MoE-A2.7B.
constexpr PreTokenizer kPreTokenizers[] = {
    {"qwen2", "NFC",
     R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)"},
};

const base::JsonValue* find(const base::JsonObject& metadata, std::string_view key) {
  return metadata.if_contains(absl::StrCat(kPrefix, std::string(key)));
}

absl::Status invalid(std::string_view key, std::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat(kPrefix, std::string(key), ": ", std::string(what)));
}

// Empty: there is no such key.
absl::StatusOr<std::string> text_of(const base::JsonObject& metadata, std::string_view key) {
  const base::JsonValue* value = find(metadata, key);
  if (value == nullptr) return std::string();
  if (!value->is_string()) return invalid(key, "must be a string");
  return std::string(to_view(value->get_string()));
}

// Null: there is no such key.
absl::StatusOr<const base::JsonArray*> array_of(const base::JsonObject& metadata, std::string_view key) {
  const base::JsonValue* value = find(metadata, key);
  if (value == nullptr) return static_cast<const base::JsonArray*>(nullptr);
  if (!value->is_array()) return invalid(key, "must be an array");
  return &value->get_array();
}

absl::StatusOr<const PreTokenizer*> pre_tokenizer(const base::JsonObject& metadata) {
  ASSIGN_OR_RETURN(const std::string model, text_of(metadata, "model"));
  ASSIGN_OR_RETURN(const std::string pre, text_of(metadata, "pre"));
  if (model.empty()) return absl::NotFoundError("the GGUF file describes no tokenizer");
  if (model != "gpt2") {
    return absl::UnimplementedError(absl::StrCat(kPrefix, "model: \"", model, "\" is not built yet; gpt2 is"));
  }
  const auto* at = std::find_if(std::begin(kPreTokenizers), std::end(kPreTokenizers),
                                [&](const PreTokenizer& p) { return p.name == pre; });
  if (at != std::end(kPreTokenizers)) return at;
  return absl::UnimplementedError(absl::StrCat(kPrefix, "pre: \"", pre, "\" is not built yet; qwen2 is"));
}

base::JsonValue string_of(std::string_view s) { return boost::json::string(s.data(), s.size()); }

base::JsonObject added_token(size_t id, const base::JsonValue& content, bool special) {
  return {{"id", id},        {"content", content},  {"single_word", false}, {"lstrip", false},
          {"rstrip", false}, {"normalized", false}, {"special", special}};
}

// model.vocab and added_tokens of tokenizer.json.
absl::Status add_tokens(const base::JsonObject& metadata, const TokenizerLimits& limits, base::JsonObject& vocab,
                        base::JsonArray& added) {
  ASSIGN_OR_RETURN(const base::JsonArray* tokens, array_of(metadata, "tokens"));
  ASSIGN_OR_RETURN(const base::JsonArray* types, array_of(metadata, "token_type"));
  if (tokens == nullptr) return invalid("tokens", "missing");
  if (tokens->size() > limits.vocab_max) {
    return invalid("tokens", absl::StrCat(tokens->size(), " entries; at most ", limits.vocab_max));
  }
  if (types != nullptr && types->size() != tokens->size()) return invalid("token_type", "must have one entry a token");
  for (size_t id = 0; id < tokens->size(); ++id) {
    const base::JsonValue& token = (*tokens)[id];
    const int64_t type = types == nullptr || !(*types)[id].is_int64() ? 1 : (*types)[id].get_int64();
    if (!token.is_string()) return invalid("tokens", absl::StrCat("entry ", id, " must be a string"));
    if (type == kUnused) continue;
    if (type == kControl || type == kUserDefined) {
      added.push_back(added_token(id, token, type == kControl));
    } else if (!vocab.emplace(token.get_string(), id).second) {
      return invalid("tokens", absl::StrCat("entry ", id, " is there twice"));
    }
  }
  return absl::OkStatus();
}

base::JsonObject byte_level() {
  return {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}, {"use_regex", false}};
}

// tokenizer.json.
absl::StatusOr<base::JsonValue> describe(const base::JsonObject& metadata, const TokenizerLimits& limits) {
  ASSIGN_OR_RETURN(const PreTokenizer* pre, pre_tokenizer(metadata));
  if (const auto* bos = find(metadata, "add_bos_token"); bos != nullptr && *bos == true) {
    return absl::UnimplementedError(absl::StrCat(
        kPrefix, "add_bos_token: a beginning before every text is not built yet for ", std::string(pre->name)));
  }
  ASSIGN_OR_RETURN(const base::JsonArray* merges, array_of(metadata, "merges"));
  if (merges == nullptr) return invalid("merges", "missing");
  base::JsonObject vocab, out;
  base::JsonArray added;
  RETURN_IF_ERROR(add_tokens(metadata, limits, vocab, added));
  out["added_tokens"] = std::move(added);
  out["normalizer"] = nullptr;
  if (!pre->normalizer.empty()) out["normalizer"] = base::JsonObject{{"type", string_of(pre->normalizer)}};
  const base::JsonObject split{{"type", "Split"},
                               {"pattern", base::JsonObject{{"Regex", string_of(pre->pattern)}}},
                               {"behavior", "Isolated"},
                               {"invert", false}};
  out["pre_tokenizer"] =
      base::JsonObject{{"type", "Sequence"}, {"pretokenizers", base::JsonArray{split, byte_level()}}};
  out["post_processor"] = nullptr;
  out["decoder"] = byte_level();
  out["model"] = base::JsonObject{{"type", "BPE"}, {"vocab", std::move(vocab)}, {"merges", *merges}};
  return base::JsonValue(std::move(out));
}

// The text of the token that metadata names by its id; null: it names none.
absl::StatusOr<base::JsonValue> named_token(const base::JsonObject& metadata, std::string_view key) {
  const base::JsonValue* id = find(metadata, key);
  if (id == nullptr) return base::JsonValue(nullptr);
  ASSIGN_OR_RETURN(const base::JsonArray* tokens, array_of(metadata, "tokens"));
  const int64_t n = tokens == nullptr ? 0 : static_cast<int64_t>(tokens->size());
  const int64_t at = id->is_int64() ? id->get_int64() : -1;
  if (at < 0 || at >= n) return invalid(key, absl::StrCat("must be an id below ", n));
  return (*tokens)[static_cast<size_t>(at)];
}

}  // namespace

absl::StatusOr<base::JsonValue> gguf_tokenizer_config(const base::JsonObject& metadata) {
  constexpr std::pair<std::string_view, const char*> kNames[] = {
      {"bos_token_id", "bos_token"},
      {"eos_token_id", "eos_token"},
      {"padding_token_id", "pad_token"},
      {"unknown_token_id", "unk_token"},
  };
  base::JsonObject config;
  for (const auto& [key, name] : kNames) {
    ASSIGN_OR_RETURN(base::JsonValue token, named_token(metadata, key));
    if (!token.is_null()) config[name] = std::move(token);
  }
  if (const auto* chat_template = metadata.if_contains(kTemplateKey)) config["chat_template"] = *chat_template;
  return base::JsonValue(std::move(config));
}

absl::StatusOr<std::unique_ptr<Tokenizer>> load_gguf_tokenizer(const base::JsonObject& metadata,
                                                               const TokenizerLimits& limits) {
  ASSIGN_OR_RETURN(const base::JsonValue json, describe(metadata, limits));
  ASSIGN_OR_RETURN(const base::JsonValue config, gguf_tokenizer_config(metadata));
  return parse_tokenizer_json(base::to_text(json), base::to_text(config), limits);
}

absl::StatusOr<std::vector<NamedTemplate>> gguf_chat_templates(const base::JsonObject& metadata) {
  std::vector<NamedTemplate> templates;
  for (const auto& member : metadata) {
    std::string_view key(member.key().data(), member.key().size());
    if (!key.starts_with(kTemplateKey)) continue;
    key.remove_prefix(std::string_view(kTemplateKey).size());
    if (!key.empty() && key[0] != '.') continue;  // tokenizer.chat_templates lists the names
    if (!member.value().is_string()) {
      return absl::InvalidArgumentError(absl::StrCat(std::string(member.key()), ": must be a string"));
    }
    const std::string_view name = key.empty() ? kDefaultTemplate : key.substr(1);
    templates.push_back({std::string(name), std::string(to_view(member.value().get_string()))});
  }
  return in_order(std::move(templates), "the GGUF file");
}

}  // namespace polymath::text
