// tokenizer.json -> Tokenizer.
// Source: huggingface/tokenizers, the serialized form of Tokenizer, version "1.0".

#include "absl/strings/str_cat.h"
#include "text/tokenizer.h"
#include "text/tokenizer/bpe.h"
#include "text/tokenizer/json_node.h"
#include "text/tokenizer/tokenizer_config.h"
#include "text/tokenizer/tokenizer_pipeline.h"
#include "text/tokenizer/unigram.h"
#include "text/tokenizer/word_level.h"

namespace polymath::text {
namespace {

// {"text": id, ...} of BPE and WordLevel.
absl::Status read_vocabulary_object(const base::JsonObject& entries, Vocabulary& vocabulary) {
  for (const auto& entry : entries) {
    const std::string_view text(entry.key().data(), entry.key().size());
    if (!entry.value().is_int64()) {
      return absl::InvalidArgumentError(
          absl::StrCat("model.vocab: \"", std::string(text), "\": id must be an integer"));
    }
    const auto status = vocabulary.add(text, entry.value().get_int64());
    if (!status.ok()) return absl::InvalidArgumentError(absl::StrCat("model.vocab: ", status.message()));
  }
  return absl::OkStatus();
}

// [["text", score], ...] of Unigram: the id is the place.
absl::Status read_vocabulary_array(const base::JsonArray& entries, Vocabulary& vocabulary) {
  for (size_t id = 0; id < entries.size(); ++id) {
    const bool good =
        entries[id].is_array() && entries[id].get_array().size() == 2 && entries[id].get_array()[0].is_string();
    if (!good) return absl::InvalidArgumentError(absl::StrCat("model.vocab[", id, "]: must be [text, score]"));
    const auto status = vocabulary.add(to_view(entries[id].get_array()[0].get_string()), static_cast<int64_t>(id));
    if (!status.ok()) return absl::InvalidArgumentError(absl::StrCat("model.vocab: ", status.message()));
  }
  return absl::OkStatus();
}

absl::StatusOr<Vocabulary> read_vocabulary(base::JsonReader& model, const std::string& type,
                                           const TokenizerLimits& limits) {
  const base::JsonValue* node = model.find("vocab");
  const bool is_array = type == "Unigram";
  if (node == nullptr || (is_array ? !node->is_array() : !node->is_object())) {
    model.complain("vocab", is_array ? "must be an array" : "must be an object");
    return model.status();
  }
  Vocabulary vocabulary(limits);
  const size_t entries = is_array ? node->get_array().size() : node->get_object().size();
  if (entries > limits.vocab_max) {
    return absl::InvalidArgumentError(absl::StrCat("model.vocab: ", entries, " entries; at most ", limits.vocab_max));
  }
  RETURN_IF_ERROR(is_array ? read_vocabulary_array(node->get_array(), vocabulary)
                           : read_vocabulary_object(node->get_object(), vocabulary));
  return vocabulary;
}

absl::StatusOr<std::unique_ptr<TokenModel>> read_model(const base::JsonValue& node, const std::string& type,
                                                       std::shared_ptr<const Vocabulary> vocabulary) {
  if (type == "BPE") return read_bpe(node, std::move(vocabulary));
  if (type == "Unigram") return read_unigram(node, std::move(vocabulary));
  if (type == "WordLevel") return read_word_level(node, std::move(vocabulary));
  return unknown_type("model", type);
}

// Files of old name no type; their members do.
std::string model_type(base::JsonReader& model) {
  if (model.has("type")) return model.s("type");
  return model.has("merges") ? "BPE" : model.has("unk_id") ? "Unigram" : "WordLevel";
}

absl::StatusOr<std::vector<AddedToken>> read_added_tokens(base::JsonReader& root) {
  const base::JsonValue* list = root.find("added_tokens");
  if (list == nullptr) return std::vector<AddedToken>{};
  ASSIGN_OR_RETURN(const auto nodes, sequence_of(root.value(), "added_tokens", ""));
  std::vector<AddedToken> tokens;
  for (size_t i = 0; i < nodes.size(); ++i) {
    base::JsonReader entry(*nodes[i], absl::StrCat("added_tokens[", i, "]"));
    AddedToken token = read_added_token(entry);
    token.id = entry.i("id");
    RETURN_IF_ERROR(entry.status());
    tokens.push_back(std::move(token));
  }
  return tokens;
}

absl::StatusOr<std::unique_ptr<Tokenizer>> build(const base::JsonValue& json, const TokenizerConfig& config,
                                                 const TokenizerLimits& limits) {
  base::JsonReader root(json);
  RETURN_IF_ERROR(root.status());
  if (!root.has("model")) return absl::InvalidArgumentError("model: missing");
  base::JsonReader model = root.object("model");
  RETURN_IF_ERROR(root.status());
  const std::string type = model_type(model);
  RETURN_IF_ERROR(model.status());
  if (type != "BPE" && type != "Unigram" && type != "WordLevel") return unknown_type("model", type);
  ASSIGN_OR_RETURN(Vocabulary own, read_vocabulary(model, type, limits));

  TokenizerParts parts;
  auto whole = std::make_shared<Vocabulary>(own);
  ASSIGN_OR_RETURN(auto tokens, read_added_tokens(root));
  RETURN_IF_ERROR(join_added_tokens(config, tokens, *whole));
  ASSIGN_OR_RETURN(parts.model, read_model(model.value(), type, std::make_shared<Vocabulary>(std::move(own))));
  ASSIGN_OR_RETURN(parts.normalizer, read_normalizer(root.find("normalizer"), "normalizer"));
  ASSIGN_OR_RETURN(parts.pre_tokenizer, read_pre_tokenizer(root.find("pre_tokenizer"), "pre_tokenizer"));
  ASSIGN_OR_RETURN(parts.decoder, read_decoder(root.find("decoder"), "decoder"));
  ASSIGN_OR_RETURN(parts.around, read_post_processor(root.find("post_processor"), *whole, "post_processor"));
  if (config.flags_rule) RETURN_IF_ERROR(override_special_around(config, *whole, parts.around));
  parts.added = AddedTokens(std::move(tokens), parts.normalizer.get());
  if (config.bos) parts.bos = whole->find(*config.bos);
  if (config.eos) parts.eos = whole->find(*config.eos);
  parts.vocabulary = std::move(whole);
  return make_pipeline_tokenizer(std::move(parts));
}

}  // namespace

absl::StatusOr<std::unique_ptr<Tokenizer>> parse_tokenizer_json(std::string_view json, std::string_view config,
                                                                const TokenizerLimits& limits) {
  ASSIGN_OR_RETURN(const TokenizerConfig parsed_config, parse_tokenizer_config(config, limits));
  auto parsed = base::parse_json(json, {.bytes_max = limits.file_bytes_max});
  if (!parsed.ok()) return absl::InvalidArgumentError(absl::StrCat("tokenizer.json: ", parsed.status().message()));
  auto tokenizer = build(*parsed, parsed_config, limits);
  if (!tokenizer.ok()) return in_tokenizer_file("tokenizer.json", tokenizer.status());
  return tokenizer;
}

}  // namespace polymath::text
