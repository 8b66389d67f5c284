#pragma once

// How many tokens each event of a stream carries, by the surest word of the server. Token ids are the surest; then the
// usage so far, if every event has it. Else each event with text is one token.

#include <array>
#include <cstdint>

#include "commands/load/dialect.h"

namespace polymath::commands::load {

enum class CountedBy { kIds, kUsage, kEvents };
inline constexpr int kCountedByKinds = 3;
inline constexpr const char* kCountedByNames[kCountedByKinds] = {"token_ids", "usage", "text_events"};

class TokenCount {
 public:
  // Tokens of this event; 0 for a role alone, an empty text, or usage alone.
  int add(const EventFacts& facts);

  // Tokens that an event carried, by how each was counted.
  const std::array<int64_t, kCountedByKinds>& counted() const { return counted_; }
  // Tokens of the answer: what events carried, or the server's last word if that is more.
  int64_t total() const;

 private:
  int64_t sum() const { return counted_[0] + counted_[1] + counted_[2]; }

  std::array<int64_t, kCountedByKinds> counted_{};
  int64_t usage_ = 0;  // the largest so far
};

}  // namespace polymath::commands::load
