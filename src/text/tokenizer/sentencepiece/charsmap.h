#pragma once

// SentencePiece's precompiled_charsmap: a table from byte strings to their normal form.
//
//   u32 trie_bytes | trie (a double-array, u32 units) | replacements, each ended by a zero byte
//
// Source: sentencepiece src/normalizer.cc; darts-clone's unit layout.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace polymath::text {

class Charsmap {
 public:
  struct Match {
    size_t bytes = 0;              // of the text
    std::string_view replacement;  // lives as long as the map
  };

  // kInvalidArgument: sizes that do not fit.
  static absl::StatusOr<Charsmap> parse(std::string_view blob);

  std::optional<Match> shortest(std::string_view text) const;
  std::optional<Match> longest(std::string_view text) const;

 private:
  std::optional<Match> find(std::string_view text, bool stop_at_first) const;

  std::vector<uint32_t> units_;
  std::string replacements_;
};

}  // namespace polymath::text
