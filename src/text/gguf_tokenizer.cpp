#include "text/gguf_tokenizer.h"

#include <algorithm>
#include <iterator>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "text/gguf_pre_tokenizers.h"
#include "text/tokenizer/json_node.h"
#include "text/tokenizer/sentencepiece/model.h"

namespace polymath::text {
namespace {

constexpr const char* kPrefix = "tokenizer.ggml.";
constexpr const char* kTemplateKey = "tokenizer.chat_template";

// ggml's kinds of tokens: SentencePiece's.
constexpr int64_t kControl = 3, kUserDefined = 4, kUnused = 5;

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

// `fallback`: where there is no such key.
absl::StatusOr<bool> flag_of(const base::JsonObject& metadata, std::string_view key, bool fallback) {
  const base::JsonValue* value = find(metadata, key);
  if (value == nullptr) return fallback;
  if (!value->is_bool()) return invalid(key, "must be a boolean");
  return value->get_bool();
}

absl::StatusOr<const GgufPreTokenizer*> pre_tokenizer(const base::JsonObject& metadata) {
  ASSIGN_OR_RETURN(const std::string pre, text_of(metadata, "pre"));
  if (const auto* found = find_gguf_pre_tokenizer(pre); found != nullptr) return found;
  return absl::UnimplementedError(absl::StrCat(
      kPrefix, "pre: \"", pre, "\" is not built yet; these are: ", absl::StrJoin(gguf_pre_tokenizer_names(), ", ")));
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

base::JsonObject byte_level(bool regex = false) {
  return {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}, {"use_regex", regex}};
}

base::JsonObject pre_tokenizers(const GgufPreTokenizer& pre) {
  base::JsonArray all;
  for (const std::string_view pattern : pre.patterns) {
    all.push_back(base::JsonObject{{"type", "Split"},
                                   {"pattern", base::JsonObject{{"Regex", string_of(pattern)}}},
                                   {"behavior", "Isolated"},
                                   {"invert", false}});
  }
  all.push_back(byte_level(pre.byte_level_regex));
  return {{"type", "Sequence"}, {"pretokenizers", std::move(all)}};
}

// The text of the token that metadata names by its id; null: it names none.
absl::StatusOr<base::JsonValue> named_token(const base::JsonObject& metadata, std::string_view key);

// The tokens before and after every text.
absl::StatusOr<base::JsonValue> post_processor(const base::JsonObject& metadata, const GgufPreTokenizer& pre) {
  constexpr struct {
    const char *added, *id;
    bool before;
  } kEnds[] = {{"add_bos_token", "bos_token_id", true}, {"add_eos_token", "eos_token_id", false}};
  base::JsonArray single{base::JsonObject{{"Sequence", base::JsonObject{{"id", "A"}, {"type_id", 0}}}}};
  base::JsonObject tokens;
  for (const auto& end : kEnds) {
    ASSIGN_OR_RETURN(const bool wanted, flag_of(metadata, end.added, end.before && pre.adds_bos));
    if (!wanted) continue;
    ASSIGN_OR_RETURN(const base::JsonValue token, named_token(metadata, end.id));
    if (token.is_null()) return invalid(end.id, "missing");
    base::JsonObject special{{"SpecialToken", base::JsonObject{{"id", token}, {"type_id", 0}}}};
    single.insert(end.before ? single.begin() : single.end(), std::move(special));
    tokens[token.get_string()] = base::JsonObject{
        {"id", token}, {"ids", base::JsonArray{*find(metadata, end.id)}}, {"tokens", base::JsonArray{token}}};
  }
  if (tokens.empty()) return base::JsonValue(nullptr);
  return base::JsonValue(base::JsonObject{
      {"type", "TemplateProcessing"}, {"single", single}, {"pair", single}, {"special_tokens", std::move(tokens)}});
}

// tokenizer.json.
absl::StatusOr<base::JsonValue> describe(const base::JsonObject& metadata, const TokenizerLimits& limits) {
  ASSIGN_OR_RETURN(const GgufPreTokenizer* pre, pre_tokenizer(metadata));
  ASSIGN_OR_RETURN(const base::JsonArray* merges, array_of(metadata, "merges"));
  if (merges == nullptr) return invalid("merges", "missing");
  base::JsonObject vocab, out;
  base::JsonArray added;
  RETURN_IF_ERROR(add_tokens(metadata, limits, vocab, added));
  out["added_tokens"] = std::move(added);
  out["normalizer"] = nullptr;
  if (!pre->normalizer.empty()) out["normalizer"] = base::JsonObject{{"type", string_of(pre->normalizer)}};
  out["pre_tokenizer"] = pre_tokenizers(*pre);
  ASSIGN_OR_RETURN(out["post_processor"], post_processor(metadata, *pre));
  out["decoder"] = byte_level();
  out["model"] = base::JsonObject{
      {"type", "BPE"}, {"ignore_merges", pre->ignore_merges}, {"vocab", std::move(vocab)}, {"merges", *merges}};
  return base::JsonValue(std::move(out));
}

absl::StatusOr<base::JsonValue> named_token(const base::JsonObject& metadata, std::string_view key) {
  const base::JsonValue* id = find(metadata, key);
  if (id == nullptr) return base::JsonValue(nullptr);
  ASSIGN_OR_RETURN(const base::JsonArray* tokens, array_of(metadata, "tokens"));
  const int64_t n = tokens == nullptr ? 0 : static_cast<int64_t>(tokens->size());
  const int64_t at = id->is_int64() ? id->get_int64() : -1;
  if (at < 0 || at >= n) return invalid(key, absl::StrCat("must be an id below ", n));
  return (*tokens)[static_cast<size_t>(at)];
}

// SentencePiece's model out of tokens, scores and types. `unigram`: else its BPE.
absl::StatusOr<SentencePieceProto> pieces_of(const base::JsonObject& metadata, bool unigram,
                                             const TokenizerLimits& limits) {
  ASSIGN_OR_RETURN(const base::JsonArray* tokens, array_of(metadata, "tokens"));
  ASSIGN_OR_RETURN(const base::JsonArray* scores, array_of(metadata, "scores"));
  ASSIGN_OR_RETURN(const base::JsonArray* types, array_of(metadata, "token_type"));
  if (tokens == nullptr || tokens->size() > limits.vocab_max) return invalid("tokens", "missing, or too many");
  if (scores == nullptr || scores->size() != tokens->size()) return invalid("scores", "must have one entry a token");
  if (types == nullptr || types->size() != tokens->size()) return invalid("token_type", "must have one entry a token");
  SentencePieceProto proto;
  proto.kind = unigram ? SentencePieceKind::kUnigram : SentencePieceKind::kBpe;
  for (size_t id = 0; id < tokens->size(); ++id) {
    const base::JsonValue &text = (*tokens)[id], &score = (*scores)[id], &type = (*types)[id];
    if (!text.is_string()) return invalid("tokens", absl::StrCat("entry ", id, " must be a string"));
    if (!score.is_number()) return invalid("scores", absl::StrCat("entry ", id, " must be a number"));
    if (!type.is_int64() || type.get_int64() < 1 || type.get_int64() > 6) {
      return invalid("token_type", absl::StrCat("entry ", id, " must be between 1 and 6"));
    }
    const auto kind = static_cast<PieceType>(type.get_int64());
    proto.byte_fallback = proto.byte_fallback || kind == PieceType::kByte;
    if (kind == PieceType::kUnknown) proto.unknown_surface = std::string(to_view(text.get_string()));
    proto.pieces.push_back({std::string(to_view(text.get_string())), score.to_number<float>(), kind});
  }
  ASSIGN_OR_RETURN(proto.add_dummy_prefix, flag_of(metadata, "add_space_prefix", true));
  ASSIGN_OR_RETURN(proto.remove_extra_blanks, flag_of(metadata, "remove_extra_whitespaces", unigram));
  proto.bos_id = proto.eos_id = -1;
  if (find(metadata, "precompiled_charsmap") != nullptr) {
    return absl::UnimplementedError(absl::StrCat(kPrefix, "precompiled_charsmap: is not built yet"));
  }
  return proto;
}

absl::StatusOr<std::unique_ptr<Tokenizer>> load_pieces(const base::JsonObject& metadata, bool unigram,
                                                       const TokenizerLimits& limits) {
  ASSIGN_OR_RETURN(const SentencePieceProto proto, pieces_of(metadata, unigram, limits));
  ASSIGN_OR_RETURN(base::JsonValue config, gguf_tokenizer_config(metadata));
  // Like control pieces, the unknown one is found in a text as it is spelled.
  base::JsonObject unknown;
  for (size_t id = 0; id < proto.pieces.size(); ++id) {
    if (proto.pieces[id].type != PieceType::kUnknown) continue;
    unknown[std::to_string(id)] = added_token(id, string_of(proto.pieces[id].text), /*special=*/true);
  }
  config.get_object()["added_tokens_decoder"] = std::move(unknown);
  ASSIGN_OR_RETURN(config.get_object()["add_bos_token"], flag_of(metadata, "add_bos_token", !unigram));
  ASSIGN_OR_RETURN(config.get_object()["add_eos_token"], flag_of(metadata, "add_eos_token", unigram));
  return build_sentencepiece(proto, base::to_text(config), limits);
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
  ASSIGN_OR_RETURN(const std::string model, text_of(metadata, "model"));
  if (model.empty()) return absl::NotFoundError("the GGUF file describes no tokenizer");
  if (model == "llama" || model == "t5") return load_pieces(metadata, model == "t5", limits);
  if (model != "gpt2") {
    return absl::UnimplementedError(
        absl::StrCat(kPrefix, "model: \"", model, "\" is not built yet; gpt2, llama and t5 are"));
  }
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
