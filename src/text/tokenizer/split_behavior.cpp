#include "text/tokenizer/split_behavior.h"

#include "absl/strings/str_cat.h"

namespace polymath::text {
namespace {

// Each match joins the word before it; of several matches in a row only the first does.
void merge_with_previous(const std::vector<Cut>& cuts, std::vector<Words::Range>& out) {
  const size_t first = out.size();
  bool previous_is_match = false;
  for (const Cut& cut : cuts) {
    if (cut.is_match && !previous_is_match && out.size() > first) {
      out.back().end = cut.range.end;
    } else {
      out.push_back(cut.range);
    }
    previous_is_match = cut.is_match;
  }
}

// Each match joins the word behind it; of several matches in a row only the last does.
void merge_with_next(const std::vector<Cut>& cuts, std::vector<Words::Range>& out) {
  for (size_t i = 0; i < cuts.size(); ++i) {
    const bool joins = cuts[i].is_match && i + 1 < cuts.size() && !cuts[i + 1].is_match;
    out.push_back({cuts[i].range.begin, joins ? cuts[i + 1].range.end : cuts[i].range.end});
    if (joins) ++i;
  }
}

}  // namespace

absl::StatusOr<SplitBehavior> parse_split_behavior(std::string_view name, std::string_view path) {
  if (name == "Removed") return SplitBehavior::kRemoved;
  if (name == "Isolated") return SplitBehavior::kIsolated;
  if (name == "MergedWithPrevious") return SplitBehavior::kMergedWithPrevious;
  if (name == "MergedWithNext") return SplitBehavior::kMergedWithNext;
  if (name == "Contiguous") return SplitBehavior::kContiguous;
  return absl::InvalidArgumentError(
      absl::StrCat(std::string(path), ".behavior: \"", std::string(name), "\" is not supported"));
}

void append_words(const std::vector<Cut>& cuts, SplitBehavior behavior, std::vector<Words::Range>& out) {
  switch (behavior) {
    case SplitBehavior::kRemoved:
      for (const Cut& cut : cuts) {
        if (!cut.is_match) out.push_back(cut.range);
      }
      return;
    case SplitBehavior::kIsolated:
      for (const Cut& cut : cuts) out.push_back(cut.range);
      return;
    case SplitBehavior::kMergedWithPrevious:
      return merge_with_previous(cuts, out);
    case SplitBehavior::kMergedWithNext:
      return merge_with_next(cuts, out);
    case SplitBehavior::kContiguous:
      for (size_t i = 0; i < cuts.size(); ++i) {
        if (i > 0 && cuts[i].is_match == cuts[i - 1].is_match) {
          out.back().end = cuts[i].range.end;
        } else {
          out.push_back(cuts[i].range);
        }
      }
      return;
  }
}

}  // namespace polymath::text
