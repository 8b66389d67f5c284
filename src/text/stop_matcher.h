#pragma once

// Looks for one string in a text that comes byte by byte (Knuth, Morris, Pratt): constant time a byte, amortised.

#include <string>
#include <string_view>
#include <vector>

namespace polymath::text {

class StopMatcher {
 public:
  // REQUIRES: !text.empty().
  explicit StopMatcher(std::string text) : text_(std::move(text)), fallback_(text_.size(), 0) {
    for (size_t i = 1, k = 0; i < text_.size(); ++i) {
      while (k > 0 && text_[i] != text_[k]) k = fallback_[k - 1];
      if (text_[i] == text_[k]) ++k;
      fallback_[i] = k;
    }
  }

  // True: the string ends with this byte. REQUIRES: it did not end before.
  bool push(char byte) {
    while (matched_ > 0 && text_[matched_] != byte) matched_ = fallback_[matched_ - 1];
    if (text_[matched_] == byte) ++matched_;
    return matched_ == text_.size();
  }

  size_t matched() const { return matched_; }  // the last bytes of the text that could begin the string
  const std::string& text() const { return text_; }

 private:
  std::string text_;
  std::vector<size_t> fallback_;  // [i]: the longest proper border of the first i + 1 bytes
  size_t matched_ = 0;
};

}  // namespace polymath::text
