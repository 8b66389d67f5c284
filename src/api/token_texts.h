#pragma once

// What logprobs show of each token: its own bytes, and the characters that it completes.
//
//   TokenTexts texts(model, prompt_ids, /*skip_special=*/true);
//   texts.characters();            // text_offset of the next token
//   texts.peek(other);             // an alternative at this place
//   texts.take(id);                // the token at this place; the next call is about the place behind it
//
// A character of several tokens is shown by the token that completes it; the earlier ones show "". Joined, the shown
// texts are the answer's text, and the bytes are its bytes. An invalid sequence becomes U+FFFD.
// Thread safety: none; one choice owns one.

#include <cstdint>
#include <span>
#include <string>

#include "api/served_model.h"

namespace polymath::api {

struct TokenText {
  std::string text;   // empty: the token completes no character
  std::string bytes;  // of the token alone; any bytes
};

class TokenTexts {
 public:
  // At the place behind `before`. Without a tokenizer all texts are empty. REQUIRES: the model outlives this.
  TokenTexts(const ServedModel& model, std::span<const int32_t> before, bool skip_special);

  TokenText peek(int32_t id) const;
  TokenText take(int32_t id);
  int64_t characters() const { return characters_; }  // of the text that the taken tokens gave

 private:
  struct Step {
    TokenText shown;
    std::string open;  // the first bytes of a character, after the token
    bool in_text = true;
  };
  Step step(int32_t id) const;

  const ServedModel* model_;
  bool skip_special_;
  bool at_start_ = true;  // no text yet: a tokenizer drops its first blank
  std::string open_;
  int64_t characters_ = 0;
};

// Characters (code points) of valid UTF-8.
int64_t count_characters(std::string_view text);

}  // namespace polymath::api
