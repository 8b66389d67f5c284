#pragma once

// Byte-level BPE whose file ranks tokens and names no merges: tiktoken's and Mistral's tekken.
//
// Two neighbours merge if their bytes together are a token; that token's rank orders the merges.
// Hence each way to cut a token in two tokens is a merge, and Bpe runs them.
// Source: openai/tiktoken, CoreBPE.

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "text/tokenizer.h"
#include "text/tokenizer/added_tokens.h"
#include "text/tokenizer/tokenizer_config.h"

namespace polymath::text {

struct RankedToken {
  std::string bytes;  // any, not only UTF-8
  TokenId id;         // the lower id merges first
};

struct RankedBpe {
  std::vector<RankedToken> tokens;
  std::vector<AddedToken> added;  // beside tokenizer_config.json's; a name the config gives away is left out
  std::string pattern;            // of words; RegexDialect::kTiktoken
  bool nfc = false;               // text is brought to the normal form C first
  bool cuts_long_texts = false;   // as the class of Kimi's tokenizer: pre_tokenizer.h
  bool bos_before = false;        // encode()'s add_special puts bos in front
};

// kInvalidArgument: two tokens of the same bytes or id, a limit passed, a pattern that is none.
// Bytes without a token of their own are left out of texts; the log warns of them.
absl::StatusOr<std::unique_ptr<Tokenizer>> make_ranked_bpe(RankedBpe parts, const TokenizerConfig& config,
                                                           const TokenizerLimits& limits);

}  // namespace polymath::text
