// A tiktoken file -> Tokenizer: lines of a token in base64, a blank, and its rank.
// Source: openai/tiktoken, load_tiktoken_bpe().

#include <algorithm>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "text/tokenizer.h"
#include "text/tokenizer/ranked/bpe.h"
#include "text/tokenizer/ranked/families.h"

namespace polymath::text {
namespace {

struct Line {
  std::string_view token, rank;  // empty: the line has another shape
};

Line split_line(std::string_view line) {
  while (!line.empty() && (line.back() == '\r' || line.back() == ' ' || line.back() == '\t')) line.remove_suffix(1);
  const size_t blank = line.find_first_of(" \t");
  if (blank == std::string_view::npos) return {};
  const size_t rank = line.find_first_not_of(" \t", blank);
  return {line.substr(0, blank), line.substr(rank)};
}

bool is_empty_line(std::string_view line) { return line.empty() || line == "\r"; }

// `line_number` counts from 1.
absl::StatusOr<RankedToken> parse_line(std::string_view text, size_t line_number, const TokenizerLimits& limits) {
  const auto bad = [&](std::string_view what) {
    return absl::InvalidArgumentError(absl::StrCat("line ", line_number, ": ", std::string(what)));
  };
  RankedToken token;
  const Line line = split_line(text);
  if (line.token.empty()) return bad("must be a token in base64, a blank and its rank");
  if (line.token.size() / 4 > limits.token_bytes_max / 3) return bad("the token is too long");
  if (!absl::Base64Unescape(absl::string_view(line.token.data(), line.token.size()), &token.bytes)) {
    return bad("the token must be base64");
  }
  if (!absl::SimpleAtoi(absl::string_view(line.rank.data(), line.rank.size()), &token.id) || token.id < 0) {
    return bad("the rank must be a number");
  }
  return token;
}

absl::StatusOr<std::vector<RankedToken>> parse_lines(std::string_view text, bool id_is_line,
                                                     const TokenizerLimits& limits) {
  std::vector<RankedToken> tokens;
  absl::flat_hash_set<std::string> seen;
  for (size_t at = 0, number = 1; at < text.size(); ++number) {
    const size_t end = std::min(text.find('\n', at), text.size());
    const std::string_view line = text.substr(at, end - at);
    at = end + 1;
    if (is_empty_line(line)) continue;
    ASSIGN_OR_RETURN(RankedToken token, parse_line(line, number, limits));
    if (id_is_line) {
      if (!seen.insert(token.bytes).second) continue;
      token.id = static_cast<TokenId>(tokens.size());
    }
    if (tokens.size() >= limits.vocab_max) {
      return absl::InvalidArgumentError(absl::StrCat("more than ", limits.vocab_max, " entries"));
    }
    tokens.push_back(std::move(token));
  }
  if (tokens.empty()) return absl::InvalidArgumentError("has no tokens");
  return tokens;
}

// The family's special tokens, their ids from `first` on.
std::vector<AddedToken> special_tokens(const TiktokenFamily& family, TokenId first, const TokenizerConfig& config) {
  std::vector<AddedToken> tokens;
  const auto add = [&](std::string text, TokenId id, bool special) {
    tokens.push_back({.content = std::move(text), .id = id, .normalized = family.nfc, .special = special});
  };
  TokenId next = first;
  for (const std::string_view name : family.specials) {
    if (!name.empty()) add(std::string(name), next++, family.named_are_special);
  }
  for (int i = 0; i < family.extras; ++i) add(absl::StrCat("<|extra_", i, "|>"), next++, family.named_are_special);
  TokenId end = first + family.reserved;
  for (const AddedToken& token : config.added) end = std::max(end, token.id + 1);
  for (; next < end; ++next) add(absl::StrCat("<|reserved_token_", next, "|>"), next, false);
  return tokens;
}

absl::StatusOr<std::unique_ptr<Tokenizer>> build(std::string_view text, const TiktokenFamily& family,
                                                 TokenizerConfig config, const TokenizerLimits& limits) {
  RankedBpe file;
  ASSIGN_OR_RETURN(file.tokens, parse_lines(text, family.id_is_line, limits));
  for (const AddedToken& token : config.added) {
    if (token.id < 0 || static_cast<size_t>(token.id) >= limits.vocab_max) {
      return absl::InvalidArgumentError(absl::StrCat("tokenizer_config.json: added_tokens_decoder: id ", token.id,
                                                     " is outside of 0 .. ", limits.vocab_max - 1));
    }
  }
  file.pattern = std::string(family.pattern);
  file.nfc = family.nfc;
  file.cuts_long_texts = family.cuts_long_texts;
  file.added = special_tokens(family, static_cast<TokenId>(file.tokens.size()), config);
  if (!config.bos && !family.bos.empty()) config.bos = std::string(family.bos);
  if (!config.eos && !family.eos.empty()) config.eos = std::string(family.eos);
  return make_ranked_bpe(std::move(file), config, limits);
}

}  // namespace

bool is_tiktoken(std::string_view text) {
  const Line line = split_line(text.substr(0, text.find('\n')));
  std::string token;
  int rank = 0;
  return !line.token.empty() && absl::SimpleAtoi(absl::string_view(line.rank.data(), line.rank.size()), &rank) &&
         absl::Base64Unescape(absl::string_view(line.token.data(), line.token.size()), &token);
}

absl::StatusOr<std::unique_ptr<Tokenizer>> parse_tiktoken(const TokenizerFile& file, std::string_view config,
                                                          const TokenizerLimits& limits) {
  ASSIGN_OR_RETURN(TokenizerConfig parsed_config, parse_tokenizer_config(config, limits));
  const auto family = find_tiktoken_family(parsed_config.tokenizer_class, file.name);
  if (!family.ok()) return in_tokenizer_file(file.name, family.status());
  auto tokenizer = build(file.text, **family, std::move(parsed_config), limits);
  if (!tokenizer.ok()) return in_tokenizer_file(file.name, tokenizer.status());
  return tokenizer;
}

}  // namespace polymath::text
