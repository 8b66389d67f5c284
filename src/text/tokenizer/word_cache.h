#pragma once

// The tokens of words met lately: direct-mapped, one a thread, of fixed size.
// A new word takes the place of the old one in its slot.

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <string_view>
#include <vector>

#include "text/tokenizer.h"

namespace polymath::text {

class WordCache {
 public:
  static constexpr size_t kWordBytesMax = 40;  // longer words are not kept
  static constexpr size_t kIdsMax = 10;        // words of more tokens are not kept
  static constexpr size_t kSlots = 8192;

  // Appends the word's ids and says true, if they are here. `instance` is never 0.
  bool find(uint64_t instance, std::string_view word, std::vector<TokenId>& ids) {
    const Slot& slot = slots_[slot_of(word)];
    if (slot.instance != instance || std::string_view(slot.word.data(), slot.word_bytes) != word) return false;
    ids.insert(ids.end(), slot.ids.begin(), slot.ids.begin() + slot.n_ids);
    return true;
  }

  void keep(uint64_t instance, std::string_view word, const TokenId* ids, size_t n_ids) {
    if (word.size() > kWordBytesMax || n_ids > kIdsMax) return;
    Slot& slot = slots_[slot_of(word)];
    slot.instance = instance;
    slot.word_bytes = static_cast<uint8_t>(word.size());
    slot.n_ids = static_cast<uint8_t>(n_ids);
    std::copy(word.begin(), word.end(), slot.word.begin());
    std::copy(ids, ids + n_ids, slot.ids.begin());
  }

  static WordCache& of_this_thread() {
    thread_local const std::unique_ptr<WordCache> cache = std::make_unique<WordCache>();
    return *cache;
  }

 private:
  struct Slot {
    uint64_t instance = 0;  // 0: empty
    std::array<TokenId, kIdsMax> ids;
    std::array<char, kWordBytesMax> word;
    uint8_t word_bytes = 0;
    uint8_t n_ids = 0;
  };
  static size_t slot_of(std::string_view word) { return std::hash<std::string_view>()(word) % kSlots; }

  std::array<Slot, kSlots> slots_{};
};

}  // namespace polymath::text
