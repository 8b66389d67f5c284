#pragma once

// tokenizer.json's pre-tokenizers: a text -> its words, between which no token reaches.
//
// Types: Sequence, Split, ByteLevel, Metaspace, Digits, Whitespace, WhitespaceSplit, Punctuation,
// CharDelimiterSplit, BertPreTokenizer. Any other is kInvalidArgument by name.
// Thread safety: apply() may run at once on many threads.

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/status.h"
#include "text/tokenizer/aligned_text.h"

namespace polymath::text {

// Words as ranges of one text: cutting moves no byte.
struct Words {
  struct Range {
    size_t begin, end;
  };
  AlignedText text;
  std::vector<Range> ranges;  // ascending, none empty; bytes between them were removed
  bool at_start = true;       // the first range begins the whole input

  std::string_view at(const Range& r) const { return std::string_view(text.text).substr(r.begin, r.end - r.begin); }
};

class PreTokenizer {
 public:
  virtual ~PreTokenizer() = default;
  virtual void apply(Words& words) const = 0;
};

// `node` null or JSON null: a null pointer.
absl::StatusOr<std::unique_ptr<PreTokenizer>> read_pre_tokenizer(const base::JsonValue* node, std::string_view path);

// tiktoken's: words by `pattern` (Rust's dialect), then every byte as one character. kInvalidArgument: the pattern.
// `cuts_long_texts`: a word also ends every 400,000 characters, and within a run of more than 25,000 blanks, or others.
absl::StatusOr<std::unique_ptr<PreTokenizer>> make_tiktoken_pre_tokenizer(std::string_view pattern,
                                                                          bool cuts_long_texts);

}  // namespace polymath::text
