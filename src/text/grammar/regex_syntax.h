#pragma once

// A regular expression as a tree: the part of ECMA-262's syntax that describes a regular language.
//
// Refused by name: backreferences, lookbehind, word boundaries, flags, atomic groups and possessive repeats.
// Source: ECMA-262, section 22.2 (with the u flag).

#include <string_view>
#include <vector>

#include "base/status.h"
#include "text/grammar/code_points.h"

namespace polymath::text::grammar {

struct RegexNode {
  enum class Kind { kSet, kSequence, kChoice, kRepeat, kBegin, kEnd, kLookahead, kCount };
  Kind kind = Kind::kSequence;
  CodePoints set;                // kSet
  std::vector<RegexNode> parts;  // the others
  int least = 0, most = 0;       // kRepeat
  bool negative = false;         // kLookahead
};

struct RegexLimits {
  size_t bytes_max = 4096;     // longer: kInvalidArgument
  int depth_max = 64;          // of groups; deeper: kInvalidArgument
  int repeat_max = 1'000'000;  // a count; more: kInvalidArgument
};

absl::StatusOr<RegexNode> parse_regex(std::string_view pattern, const RegexLimits& limits);

}  // namespace polymath::text::grammar
