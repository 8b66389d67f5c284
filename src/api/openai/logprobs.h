#pragma once

// Log-probabilities in OpenAI's three shapes: of completions, of chats, and vLLM's prompt_logprobs. Tokens are shown as
// text/token_texts.h has them. A function takes its tokens from `texts`, which stays at the place behind them.
//
// All are JSON text, token by token: a tree of them would take many times their bytes.

#include <span>
#include <string>
#include <vector>

#include "api/generation.h"
#include "api/json_values.h"
#include "api/served_model.h"
#include "base/json.h"
#include "text/token_texts.h"

namespace polymath::api {

struct LogprobNames {
  const ServedModel* model = nullptr;
  bool as_ids = false;  // "token_id:123" instead of the token's text; always so without a tokenizer

  std::string of(int32_t id, const text::TokenText& text) const;
};

// {tokens, token_logprobs, top_logprobs, text_offset}; the offsets count characters.
class CompletionLogprobs {
 public:
  CompletionLogprobs(const LogprobNames& names, int top_n, text::TokenTexts& texts)
      : names_(names), top_n_(top_n), texts_(texts) {}
  void add(const TokenInfo& token);
  void add_first(int32_t id);  // the prompt's first token: its logprob is null
  void append_to(std::string& out);

 private:
  std::string take_name(int32_t id);

  const LogprobNames names_;
  const int top_n_;
  text::TokenTexts& texts_;
  ListText tokens_{'['}, logprobs_{'['}, tops_{'['}, offsets_{'['};
};

// {content: [{token, logprob, bytes, top_logprobs}]}; `bytes` are the token's own, and null without a tokenizer.
std::string chat_logprobs(const LogprobNames& names, int top_n, const std::vector<TokenInfo>& tokens,
                          text::TokenTexts& texts);

// [null, {"123": {logprob, rank, decoded_token}}, ...]; tokens[0] is the prompt's second.
std::string prompt_logprobs(const LogprobNames& names, int32_t first, int top_n, std::span<const TokenInfo> tokens);

}  // namespace polymath::api
