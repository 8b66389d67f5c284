#pragma once

// What becomes of the matches when a text is cut at them.

#include <string_view>
#include <vector>

#include "base/status.h"
#include "text/tokenizer/pre_tokenizer.h"

namespace polymath::text {

enum class SplitBehavior { kRemoved, kIsolated, kMergedWithPrevious, kMergedWithNext, kContiguous };

absl::StatusOr<SplitBehavior> parse_split_behavior(std::string_view name, std::string_view path);

struct Cut {
  Words::Range range;
  bool is_match;
};

// `cuts` cover one word in order; appends the words they make.
void append_words(const std::vector<Cut>& cuts, SplitBehavior behavior, std::vector<Words::Range>& out);

}  // namespace polymath::text
