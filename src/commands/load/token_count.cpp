#include "commands/load/token_count.h"

#include <algorithm>

namespace polymath::commands::load {

int TokenCount::add(const EventFacts& facts) {
  usage_ = std::max(usage_, facts.output_total.value_or(0));
  if (!facts.has_choice) return 0;
  const auto count = [this](CountedBy how, int64_t n) {
    counted_[static_cast<size_t>(how)] += n;
    return static_cast<int>(n);
  };
  if (facts.ids.has_value()) return count(CountedBy::kIds, static_cast<int64_t>(facts.ids->size()));
  // Usage that comes with the last event only says nothing of the events before it.
  const bool usage_lacked = counted_[static_cast<size_t>(CountedBy::kEvents)] > 0;
  if (facts.output_total.has_value() && !usage_lacked) {
    return count(CountedBy::kUsage, std::max<int64_t>(0, *facts.output_total - sum()));
  }
  return count(CountedBy::kEvents, facts.text.empty() ? 0 : 1);
}

int64_t TokenCount::total() const { return std::max(sum(), usage_); }

}  // namespace polymath::commands::load
