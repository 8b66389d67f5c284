#pragma once

// Log-probabilities in OpenAI's three shapes: of completions, of chats, and vLLM's prompt_logprobs.

#include <string>
#include <string_view>
#include <vector>

#include "api/generation.h"
#include "api/openai/request.h"
#include "api/served_model.h"
#include "base/json.h"

namespace polymath::api {

struct LogprobNames {
  const ServedModel* model = nullptr;
  bool as_ids = false;  // "token_id:123" instead of the token's text; always so without a tokenizer

  std::string of(int32_t id) const;
};

// {tokens, token_logprobs, top_logprobs, text_offset}; the offsets count characters from `offset` on.
class CompletionLogprobs {
 public:
  CompletionLogprobs(const LogprobNames& names, int top_n, int64_t offset)
      : names_(names), top_n_(top_n), offset_(offset) {}
  void add(const TokenInfo& token);
  void add_first(int32_t id);  // the prompt's first token: its logprob is null
  base::JsonValue take();

 private:
  std::string name(int32_t id);

  const LogprobNames names_;
  const int top_n_;
  int64_t offset_;
  base::JsonArray tokens_, logprobs_, tops_, offsets_;
};

// {content: [{token, logprob, bytes, top_logprobs}]}
base::JsonValue chat_logprobs(const LogprobNames& names, int top_n, const std::vector<TokenInfo>& tokens);

// [null, {"123": {logprob, rank, decoded_token}}, ...]; tokens[0] is the prompt's second.
base::JsonValue prompt_logprobs(const LogprobNames& names, const std::vector<TokenInfo>& tokens);

// Characters (code points) of valid UTF-8.
int64_t count_characters(std::string_view text);

}  // namespace polymath::api
