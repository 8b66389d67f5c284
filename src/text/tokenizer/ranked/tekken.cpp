// Mistral's tekken.json -> Tokenizer. Special tokens have the first ids, ranked tokens follow.
// Source: mistralai/mistral-common, Tekkenizer.from_file().

#include <algorithm>

#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "text/tokenizer.h"
#include "text/tokenizer/json_node.h"
#include "text/tokenizer/ranked/bpe.h"

namespace polymath::text {
namespace {

// Of files that list none: versions up to 7.
constexpr std::string_view kOldSpecialTokens[] = {"<unk>",
                                                  "<s>",
                                                  "</s>",
                                                  "[INST]",
                                                  "[/INST]",
                                                  "[AVAILABLE_TOOLS]",
                                                  "[/AVAILABLE_TOOLS]",
                                                  "[TOOL_RESULTS]",
                                                  "[/TOOL_RESULTS]",
                                                  "[TOOL_CALLS]",
                                                  "[IMG]",
                                                  "<pad>",
                                                  "[IMG_BREAK]",
                                                  "[IMG_END]",
                                                  "[PREFIX]",
                                                  "[MIDDLE]",
                                                  "[SUFFIX]",
                                                  "[SYSTEM_PROMPT]",
                                                  "[/SYSTEM_PROMPT]",
                                                  "[TOOL_CONTENT]"};
constexpr int kLastOldVersion = 7;

struct Sizes {
  int64_t specials = 0;  // ids below the first token's
  int64_t tokens = 0;    // ranked tokens in use; the file may hold more
};

absl::StatusOr<int> read_version(base::JsonReader& config) {
  const std::string text = config.s("version");
  RETURN_IF_ERROR(config.status());
  int version = 0;
  const absl::string_view digits(text.data() + (text.starts_with('v') ? 1 : 0),
                                 text.size() - (text.starts_with('v') ? 1 : 0));
  if (digits.size() == text.size() || !absl::SimpleAtoi(digits, &version) || version < 1) {
    return absl::InvalidArgumentError(absl::StrCat("config.version: \"", text, "\" must be v and a number"));
  }
  return version;
}

absl::Status read_special_tokens(base::JsonReader& root, int version, std::vector<AddedToken>& tokens) {
  const auto add = [&](std::string text, int64_t id) {
    tokens.push_back({.content = std::move(text), .id = static_cast<TokenId>(id), .special = true});
  };
  if (!root.has("special_tokens")) {
    if (version > kLastOldVersion) {
      return absl::InvalidArgumentError(absl::StrCat("special_tokens: missing, which v", version, " needs"));
    }
    for (const std::string_view text : kOldSpecialTokens) add(std::string(text), static_cast<int64_t>(tokens.size()));
    return absl::OkStatus();
  }
  ASSIGN_OR_RETURN(const auto nodes, sequence_of(root.value(), "special_tokens", ""));
  for (size_t i = 0; i < nodes.size(); ++i) {
    base::JsonReader entry(*nodes[i], absl::StrCat("special_tokens[", i, "]"));
    std::string text = entry.s("token_str");
    const int64_t rank = entry.i64("rank");
    if (rank < 0 || rank >= static_cast<int64_t>(nodes.size())) {
      entry.complain("rank", absl::StrCat("must be below ", nodes.size()));
    }
    RETURN_IF_ERROR(entry.status());
    add(std::move(text), rank);
  }
  return absl::OkStatus();
}

absl::StatusOr<Sizes> read_sizes(base::JsonReader& config, size_t n_special, size_t n_tokens,
                                 const TokenizerLimits& limits) {
  const auto specials = static_cast<int64_t>(n_special), tokens = static_cast<int64_t>(n_tokens);
  Sizes sizes;
  sizes.specials = config.i64("default_num_special_tokens", specials);
  const int64_t total = config.i64("default_vocab_size", sizes.specials + tokens);
  RETURN_IF_ERROR(config.status());
  if (sizes.specials < specials || sizes.specials > static_cast<int64_t>(limits.vocab_max)) {
    config.complain("default_num_special_tokens",
                    absl::StrCat(sizes.specials, " must be ", specials, " .. ", limits.vocab_max));
  }
  sizes.tokens = total - sizes.specials;
  if (sizes.tokens < 1 || sizes.tokens > tokens) {
    config.complain("default_vocab_size",
                    absl::StrCat(total, " leaves ", sizes.tokens, " tokens; the file has ", tokens));
  }
  RETURN_IF_ERROR(config.status());
  return sizes;
}

absl::StatusOr<RankedToken> read_token(const base::JsonValue& node, int64_t rank, int64_t first_id) {
  base::JsonReader entry(node, absl::StrCat("vocab[", rank, "]"));
  const std::string encoded = entry.s("token_bytes");
  if (entry.i64("rank", rank) != rank) entry.complain("rank", absl::StrCat("must be ", rank, ", its place"));
  RankedToken token{.id = static_cast<TokenId>(first_id + rank)};
  if (!absl::Base64Unescape(encoded, &token.bytes)) entry.complain("token_bytes", "must be base64");
  RETURN_IF_ERROR(entry.status());
  return token;
}

absl::StatusOr<RankedBpe> read_file(const base::JsonValue& json, const TokenizerLimits& limits) {
  base::JsonReader root(json);
  RETURN_IF_ERROR(root.status());
  base::JsonReader config = root.object("config");
  RETURN_IF_ERROR(root.status());
  ASSIGN_OR_RETURN(const int version, read_version(config));
  ASSIGN_OR_RETURN(const auto nodes, sequence_of(json, "vocab", ""));
  RankedBpe file;
  file.bos_before = true;
  file.pattern = config.s("pattern");
  RETURN_IF_ERROR(read_special_tokens(root, version, file.added));
  ASSIGN_OR_RETURN(const Sizes sizes, read_sizes(config, file.added.size(), nodes.size(), limits));
  for (auto id = static_cast<int64_t>(file.added.size()); id < sizes.specials; ++id) {
    file.added.push_back(
        {.content = absl::StrCat("<SPECIAL_", id, ">"), .id = static_cast<TokenId>(id), .special = true});
  }
  for (int64_t rank = 0; rank < sizes.tokens; ++rank) {
    ASSIGN_OR_RETURN(RankedToken token, read_token(*nodes[rank], rank, sizes.specials));
    file.tokens.push_back(std::move(token));
  }
  return file;
}

absl::Status check_unique(const std::vector<AddedToken>& tokens) {
  Vocabulary seen({});
  for (const AddedToken& token : tokens) {
    if (seen.find(token.content)) {
      return absl::InvalidArgumentError(absl::StrCat("special_tokens: \"", token.content, "\" is there twice"));
    }
    RETURN_IF_ERROR(seen.add(token.content, token.id));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<Tokenizer>> parse_tekken(const TokenizerFile& file, std::string_view config,
                                                        const TokenizerLimits& limits) {
  ASSIGN_OR_RETURN(TokenizerConfig parsed_config, parse_tokenizer_config(config, limits));
  const auto fail = [&](const absl::Status& status) { return in_tokenizer_file(file.name, status); };
  const auto json = base::parse_json(file.text, {.bytes_max = limits.file_bytes_max});
  if (!json.ok()) return fail(json.status());
  auto parts = read_file(*json, limits);
  if (!parts.ok()) return fail(parts.status());
  const absl::Status unique = check_unique(parts->added);
  if (!unique.ok()) return fail(unique);
  if (!parsed_config.bos) parsed_config.bos = "<s>";
  if (!parsed_config.eos) parsed_config.eos = "</s>";
  auto tokenizer = make_ranked_bpe(*std::move(parts), parsed_config, limits);
  if (!tokenizer.ok()) return fail(tokenizer.status());
  return tokenizer;
}

}  // namespace polymath::text
