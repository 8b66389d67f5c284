#pragma once

// What each token of a text shows, for log-probabilities: its own bytes, and the characters that it completes.
//
//   TokenTexts texts(tokenizer, prompt_ids, /*skip_special=*/true);
//   texts.characters();            // of the text before the next token
//   texts.peek(other);             // an alternative at this place
//   texts.take(id);                // the token at this place; the next call is about the place behind it
//
// A character of several tokens is shown by the token that completes it; the earlier ones show "". Joined, the shown
// texts are the answer's text, and the bytes are its bytes. An invalid sequence becomes U+FFFD.
// Thread safety: none; one text owns one.

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "text/tokenizer.h"

namespace polymath::text {

struct TokenText {
  std::string text;   // empty: the token completes no character
  std::string bytes;  // of the token alone; any bytes
};

class TokenTexts {
 public:
  // At the place behind `before`. Without a tokenizer (null) all texts are empty. REQUIRES: the tokenizer outlives
  // this.
  TokenTexts(const Tokenizer* tokenizer, std::span<const TokenId> before, bool skip_special);

  TokenText peek(TokenId id) const;
  TokenText take(TokenId id);
  int64_t characters() const { return characters_; }  // of the text that the taken tokens gave

 private:
  struct Step {
    TokenText shown;
    std::string open;  // the first bytes of a character, after the token
    bool in_text = true;
  };
  Step step(TokenId id) const;
  std::string own_bytes(TokenId id, std::span<const TokenId> anchor) const;

  const Tokenizer* tokenizer_;
  bool skip_special_;
  std::vector<TokenId> anchor_;  // a plain letter; behind it, a token keeps its leading blank
  bool at_start_ = true;         // no text yet: a tokenizer drops its first blank
  std::string open_;
  int64_t characters_ = 0;
};

// Characters (code points) of valid UTF-8.
int64_t count_characters(std::string_view text);

}  // namespace polymath::text
