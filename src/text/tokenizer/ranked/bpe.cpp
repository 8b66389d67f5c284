#include "text/tokenizer/ranked/bpe.h"

#include <algorithm>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "text/tokenizer/bpe.h"
#include "text/tokenizer/byte_level.h"
#include "text/tokenizer/token_cuts.h"
#include "text/tokenizer/tokenizer_pipeline.h"

namespace polymath::text {
namespace {

constexpr size_t kMergesMax = 4u << 20;  // published files have 0.5 million; more: kInvalidArgument

absl::StatusOr<Bpe::Merges> find_merges(const std::vector<RankedToken>& tokens) {
  std::vector<std::pair<std::string_view, TokenId>> entries;
  for (const RankedToken& token : tokens) entries.emplace_back(token.bytes, token.id);
  TokenCuts cuts(std::move(entries));
  Bpe::Merges merges;
  for (const RankedToken& token : tokens) {
    cuts.cuts(token.bytes, [&](TokenId left, TokenId right) {
      merges[Bpe::pair_key(left, right)] = {static_cast<uint32_t>(token.id), token.id};
    });
    if (merges.size() > kMergesMax) {
      return absl::InvalidArgumentError(absl::StrCat("more than ", kMergesMax, " ways to cut tokens in two tokens"));
    }
  }
  return merges;
}

absl::StatusOr<std::unique_ptr<TokenModel>> make_model(const std::vector<RankedToken>& tokens,
                                                       const TokenizerLimits& limits) {
  auto vocabulary = std::make_shared<Vocabulary>(limits);
  std::vector<bool> single(256);
  for (const RankedToken& token : tokens) {
    if (token.bytes.empty()) return absl::InvalidArgumentError(absl::StrCat("token ", token.id, ": has no bytes"));
    RETURN_IF_ERROR(vocabulary->add(bytes_to_level(token.bytes), token.id));
    if (token.bytes.size() == 1) single[static_cast<unsigned char>(token.bytes[0])] = true;
  }
  const auto missing = std::count(single.begin(), single.end(), false);
  if (missing > 0)
    base::log_warning("text", "the tokenizer has no token for ", missing, " of 256 bytes: they get lost");
  ASSIGN_OR_RETURN(auto merges, find_merges(tokens));
  return std::make_unique<Bpe>(std::move(vocabulary), std::move(merges), BpeOptions{.ignore_merges = true});
}

// The config's tokens, then those of the file whose name and id are still free.
std::vector<AddedToken> all_added(std::vector<AddedToken> own, const TokenizerConfig& config) {
  std::vector<AddedToken> all = config.added;
  absl::flat_hash_set<std::string> names;
  absl::flat_hash_set<TokenId> ids;
  for (const AddedToken& token : all) {
    names.insert(token.content);
    ids.insert(token.id);
  }
  for (AddedToken& token : own) {
    if (names.contains(token.content) || ids.contains(token.id)) continue;
    names.insert(token.content);
    ids.insert(token.id);
    all.push_back(std::move(token));
  }
  return all;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Tokenizer>> make_ranked_bpe(RankedBpe file, const TokenizerConfig& config,
                                                           const TokenizerLimits& limits) {
  TokenizerParts parts;
  ASSIGN_OR_RETURN(parts.model, make_model(file.tokens, limits));
  auto whole = std::make_shared<Vocabulary>(limits);
  std::vector<AddedToken> tokens = all_added(std::move(file.added), config);
  // Added tokens come first: one spelled like an ordinary token takes the text.
  for (const AddedToken& token : tokens) RETURN_IF_ERROR(whole->add(token.content, token.id));
  for (const RankedToken& token : file.tokens) {
    RETURN_IF_ERROR(whole->add_behind(bytes_to_level(token.bytes), token.id));
  }
  RETURN_IF_ERROR(join_added_tokens(config, tokens, *whole));
  if (file.nfc) {
    const base::JsonValue form = base::JsonObject{{"type", "NFC"}};
    ASSIGN_OR_RETURN(parts.normalizer, read_normalizer(&form, "normalizer"));
  }
  ASSIGN_OR_RETURN(parts.pre_tokenizer, make_tiktoken_pre_tokenizer(file.pattern, file.cuts_long_texts));
  const base::JsonValue byte_level = base::JsonObject{{"type", "ByteLevel"}};
  ASSIGN_OR_RETURN(parts.decoder, read_decoder(&byte_level, "decoder"));
  if (config.bos) parts.bos = whole->find(*config.bos);
  if (config.eos) parts.eos = whole->find(*config.eos);
  if (file.bos_before && parts.bos) parts.around.before.push_back(*parts.bos);
  parts.added = AddedTokens(std::move(tokens), parts.normalizer.get());
  parts.vocabulary = std::move(whole);
  return make_pipeline_tokenizer(std::move(parts));
}

}  // namespace polymath::text
