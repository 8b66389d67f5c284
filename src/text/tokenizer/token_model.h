#pragma once

// A word -> its tokens: the part of a tokenizer that was trained.

#include <string_view>
#include <vector>

#include "text/tokenizer.h"
#include "text/tokenizer/aligned_text.h"

namespace polymath::text {

class TokenModel {
 public:
  virtual ~TokenModel() = default;

  // Appends the ids, and unless `spans` is null, for each of them its bytes in `word`, as tokenizers counts them.
  // REQUIRES: as many spans as ids. `word` is valid UTF-8. Unknown text becomes the unknown token, or nothing if there
  // is none. May run at once on many threads.
  virtual void encode(std::string_view word, std::vector<TokenId>& ids, std::vector<ByteSpan>* spans) const = 0;
};

}  // namespace polymath::text
