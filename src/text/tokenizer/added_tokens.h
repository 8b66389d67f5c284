#pragma once

// Tokens found in the text before any other step: special ones ("<|im_end|>") and ones added after training.
//
// At each place the longest one wins. Those with normalized = false are sought in the raw text. The others are sought
// behind the normalizer, in their normalized spelling.
// Thread safety: split() may run at once on many threads.

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/functional/function_ref.h"
#include "base/json.h"
#include "base/status.h"
#include "text/tokenizer.h"
#include "text/tokenizer/byte_trie.h"
#include "text/tokenizer/normalizer.h"

namespace polymath::text {

struct AddedToken {
  std::string content;
  TokenId id = -1;
  bool single_word = false;  // not within a word
  bool lstrip = false;       // takes the white space before it
  bool rstrip = false;       // and behind it
  bool normalized = false;
  bool special = false;
};

// One of "added_tokens" or of "added_tokens_decoder"; `id` is set by the caller.
AddedToken read_added_token(base::JsonReader& reader);

class AddedTokens {
 public:
  AddedTokens() = default;
  // `normalizer` may be null; it is not kept.
  AddedTokens(std::vector<AddedToken> tokens, const Normalizer* normalizer);

  // Every byte once, in order: a token (id >= 0), or the text between tokens (id -1).
  using Visit = absl::FunctionRef<void(std::string_view text, TokenId id)>;
  void split_raw(std::string_view text, Visit visit) const { split(raw_, text, visit); }
  void split_normalized(std::string_view text, Visit visit) const { split(normalized_, text, visit); }

 private:
  void split(const ByteTrie& trie, std::string_view text, Visit visit) const;

  std::vector<AddedToken> tokens_;
  ByteTrie raw_, normalized_;  // values are places in tokens_
};

}  // namespace polymath::text
