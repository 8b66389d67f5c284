#pragma once

// Notices that an output has begun to repeat itself, as RepetitionRule says.
//
//   RepetitionWatch watch(rule);
//   if (watch.add(output)) ...         // after each new token
//
// Counts for each length of a pattern how many of the last tokens equal the one so far before them. So a token costs
// one comparison a length, however long the output is.
//
// Thread safety: none. Only the constructor allocates.

#include <cstdint>
#include <span>
#include <vector>

#include "engine/request.h"

namespace polymath::engine {

class RepetitionWatch {
 public:
  explicit RepetitionWatch(const RepetitionRule& rule);

  // `output` ends with the new token. True: the rule is met. REQUIRES: called once for each token.
  bool add(std::span<const int32_t> output);

 private:
  RepetitionRule rule_;
  std::vector<int32_t> runs_;  // of pattern length pattern_min + i
};

}  // namespace polymath::engine
