#pragma once

// The regular expressions of tokenizer files, run on PCRE2 (UTF, UCP, JIT).
//
//   ASSIGN_OR_RETURN(Regex re, Regex::compile("\\p{N}{1,3}"));
//   re.split(text, [](size_t begin, size_t end, bool is_match) {...});   // every byte exactly once, in order
//
// A search that meets a match limit ends; the rest is one unmatched piece. No text hangs.
// Thread safety: all const methods may run at once on many threads.

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/status.h"

namespace polymath::text {

enum class RegexDialect {
  kOniguruma,  // tokenizer.json: Ruby's. ^ and $ are a line's, (?m) is "dot matches newline", {n,m}+ a repeat's repeat
  kTiktoken,   // tiktoken, tekken.json: Rust's fancy_regex. ^ and $ are the text's, {n,m}+ is possessive
};

using SplitVisitor = std::function<void(size_t begin, size_t end, bool is_match)>;

class Regex {
 public:
  // kInvalidArgument with PCRE2's message and the place.
  static absl::StatusOr<Regex> compile(std::string_view pattern, RegexDialect dialect);

  // REQUIRES: valid UTF-8. Empty matches are visited, empty gaps are not.
  void split(std::string_view text, const SplitVisitor& visit) const;

  // Each match becomes `content`, taken literally.
  std::string replace(std::string_view text, std::string_view content) const;

 private:
  struct Code;
  explicit Regex(std::shared_ptr<const Code> code);
  std::shared_ptr<const Code> code_;
};

// The same pattern in PCRE2's dialect. Rewritten are \s, \w, \h, \u, nested and intersected classes; Ruby's (?m),
// {n,m}+.
absl::StatusOr<std::string> to_pcre2(std::string_view pattern, RegexDialect dialect);

}  // namespace polymath::text
