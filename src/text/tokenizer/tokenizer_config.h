#pragma once

// tokenizer_config.json: added tokens, special tokens, and the tokens around a text.
//
// A member "added_tokens_encoder" holds added_tokens.json; load_tokenizer puts it there.
// clean_up_tokenization_spaces is not read: it would take back blanks already streamed.

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "text/tokenizer/added_tokens.h"
#include "text/tokenizer/post_processor.h"
#include "text/tokenizer/vocabulary.h"

namespace polymath::text {

struct TokenizerConfig {
  std::vector<AddedToken> added;         // added_tokens_decoder
  std::vector<AddedToken> added_legacy;  // added_tokens.json: only those that no other file adds
  std::vector<AddedToken> special;       // the named ones (bos_token, ..., additional_special_tokens); without ids
  std::optional<std::string> bos, eos;
  std::optional<bool> add_bos, add_eos;  // add_bos_token, add_eos_token
  std::string tokenizer_class;           // else auto_map's, without its module; empty: none
  bool flags_rule = false;               // tokenizer_class is one that lets them rule over tokenizer.json
  bool legacy = true;                    // SentencePiece only: each text between tokens gets the dummy prefix
};

// Empty `json`: a config that says nothing.
absl::StatusOr<TokenizerConfig> parse_tokenizer_config(std::string_view json, const TokenizerLimits& limits);

// The error of a tokenizer file with the file's name in front. Errors of the config's files name their own.
absl::Status in_tokenizer_file(std::string_view file, const absl::Status& status);

// Adds the config's tokens to `tokens` of the tokenizer file. For the same content the config's flags win,
// but what is special in one of them stays so. All of them enter the vocabulary. A named token that has no id is left
// out.
absl::Status join_added_tokens(const TokenizerConfig& config, std::vector<AddedToken>& tokens, Vocabulary& vocabulary);

// The config's add_bos_token and add_eos_token override the tokenizer file. With tokenizer.json they do so only for
// Llama-like classes (flags_rule); elsewhere transformers leaves the post-processor as it is.
// kInvalidArgument: the token to add has no name or no id.
absl::Status override_special_around(const TokenizerConfig& config, const Vocabulary& vocabulary,
                                     SpecialAround& around);

}  // namespace polymath::text
