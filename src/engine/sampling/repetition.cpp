#include "engine/sampling/repetition.h"

#include <algorithm>

namespace polymath::engine {

RepetitionWatch::RepetitionWatch(const RepetitionRule& rule)
    : rule_(rule), runs_(static_cast<size_t>(std::max(0, rule.pattern_max - rule.pattern_min + 1))) {}

bool RepetitionWatch::add(std::span<const int32_t> output) {
  bool met = false;
  for (size_t i = 0; i < runs_.size(); ++i) {
    const size_t length = static_cast<size_t>(rule_.pattern_min) + i;
    if (output.size() <= length) break;
    const bool same = output.back() == output[output.size() - 1 - length];
    runs_[i] = same ? runs_[i] + 1 : 0;
    met |= static_cast<int64_t>(runs_[i]) >= static_cast<int64_t>(length) * (rule_.n_repeats - 1);
  }
  return met;
}

}  // namespace polymath::engine
