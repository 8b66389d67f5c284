#pragma once

// tokenizer_config.json: which tokens were added, which are special, and what stands around a text.
//
// clean_up_tokenization_spaces is not read, whatever it says: it would take back blanks that were streamed already,
// and decode() is that of the tokenizer file alone.

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
  std::vector<AddedToken> added;     // added_tokens_decoder
  std::vector<std::string> special;  // the named ones (bos_token, ..., additional_special_tokens)
  std::optional<std::string> bos, eos;
  std::optional<bool> add_bos, add_eos;  // add_bos_token, add_eos_token
  bool flags_rule = false;               // tokenizer_class is one that lets them rule over tokenizer.json
  bool legacy = true;                    // SentencePiece only: each text between tokens gets the dummy prefix
};

// Empty `json`: a config that says nothing.
absl::StatusOr<TokenizerConfig> parse_tokenizer_config(std::string_view json, const TokenizerLimits& limits);

// Joins the config's tokens to `tokens`, those of the tokenizer file; for the same content the config's flags win.
// All of them enter the vocabulary, the special ones as such. A named token that is nowhere is left out.
absl::Status join_added_tokens(const TokenizerConfig& config, std::vector<AddedToken>& tokens, Vocabulary& vocabulary);

// add_bos_token and add_eos_token, where the config has them, over what the tokenizer file says. With tokenizer.json
// that is so for Llama's kin only (flags_rule); elsewhere transformers leaves the post-processor as it is.
// kInvalidArgument: the token to add has no name or no id.
absl::Status override_special_around(const TokenizerConfig& config, const Vocabulary& vocabulary,
                                     SpecialAround& around);

}  // namespace polymath::text
