#pragma once

// The ways to cut a token in two others. They are BPE's merges where the file names none.
//
// All cuts of a token cost its length, and no more.
// Thread safety: none; cuts() writes to the object.

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "text/tokenizer.h"
#include "text/tokenizer/byte_trie.h"

namespace polymath::text {

class TokenCuts {
 public:
  // The views are not kept.
  explicit TokenCuts(std::vector<std::pair<std::string_view, TokenId>> tokens) {
    std::vector<std::string> reversed;
    reversed.reserve(tokens.size());
    std::vector<std::pair<std::string_view, TokenId>> backs;
    for (const auto& [bytes, id] : tokens) {
      reversed.emplace_back(bytes.rbegin(), bytes.rend());
      backs.emplace_back(reversed.back(), id);
    }
    fronts_ = ByteTrie(std::move(tokens));
    backs_ = ByteTrie(std::move(backs));
  }

  // visit(left id, right id) for each cut of `bytes` in two tokens.
  template <typename Visit>
  void cuts(std::string_view bytes, const Visit& visit) {
    right_.assign(bytes.size() + 1, -1);
    backs_.prefixes(std::string(bytes.rbegin(), bytes.rend()),
                    [&](size_t length, TokenId id) { right_[bytes.size() - length] = id; });
    fronts_.prefixes(bytes, [&](size_t length, TokenId id) {
      if (length < bytes.size() && right_[length] >= 0) visit(id, right_[length]);
    });
  }

 private:
  ByteTrie fronts_, backs_;
  std::vector<TokenId> right_;  // by where it begins; -1: no token
};

}  // namespace polymath::text
