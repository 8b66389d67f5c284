#pragma once

// A tokenizer that counts the ids it decodes: what a detokenizer costs. For tests and fuzzing.

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "text/tokenizer.h"

namespace polymath::text {

class CountingTokenizer final : public Tokenizer {
 public:
  explicit CountingTokenizer(const Tokenizer& tokenizer) : tokenizer_(tokenizer) {}
  std::vector<TokenId> encode(std::string_view text, bool add_special) const override {
    return tokenizer_.encode(text, add_special);
  }
  std::vector<TextToken> encode_with_offsets(std::string_view text, bool add_special,
                                             const EncodeBounds& bounds) const override {
    return tokenizer_.encode_with_offsets(text, add_special, bounds);
  }
  std::string decode(std::span<const TokenId> ids, bool skip_special) const override {
    decoded += ids.size();
    return tokenizer_.decode(ids, skip_special);
  }
  std::string token_text(TokenId id) const override { return tokenizer_.token_text(id); }
  bool is_special(TokenId id) const override { return tokenizer_.is_special(id); }
  size_t vocab_size() const override { return tokenizer_.vocab_size(); }
  std::optional<TokenId> bos_id() const override { return tokenizer_.bos_id(); }
  std::optional<TokenId> eos_id() const override { return tokenizer_.eos_id(); }
  mutable size_t decoded = 0;

 private:
  const Tokenizer& tokenizer_;
};

}  // namespace polymath::text
