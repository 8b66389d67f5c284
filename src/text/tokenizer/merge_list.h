#pragma once

// The merge loop of BPE: the best neighbouring pair of symbols joins, until no pair is left.
//
//   MergeList list(ids);
//   list.run([&](TokenId l, TokenId r) -> std::optional<MergeList::Candidate> {...});   // lower rank first
//   for (auto id : list) ...
//
// Time: n log n. Of equal ranks the leftmost pair joins first.
// A heap entry packs a rank and a place. It is checked when popped: earlier merges make entries stale.

#include <algorithm>
#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "text/tokenizer.h"

namespace polymath::text {

class MergeList {
 public:
  struct Candidate {
    uint32_t rank;
    TokenId id;
  };

  explicit MergeList(const std::vector<TokenId>& ids) { reset(ids); }
  MergeList() = default;

  void reset(const std::vector<TokenId>& ids) {
    symbols_.resize(ids.size());
    heap_.clear();
    for (size_t i = 0; i < ids.size(); ++i) {
      symbols_[i] = {ids[i], static_cast<int32_t>(i) - 1, i + 1 < ids.size() ? static_cast<int32_t>(i) + 1 : -1};
    }
  }

  // `pair_of(left, right)`: what they join to, nullopt if they do not; always the same answer.
  template <typename PairOf>
  void run(const PairOf& pair_of) {
    for (int32_t i = 0; i + 1 < static_cast<int32_t>(symbols_.size()); ++i) collect(i, pair_of);
    std::make_heap(heap_.begin(), heap_.end(), std::greater<>());
    while (!heap_.empty()) {
      std::pop_heap(heap_.begin(), heap_.end(), std::greater<>());
      const uint64_t entry = heap_.back();
      heap_.pop_back();
      const auto at = static_cast<int32_t>(entry & 0xFFFFFFFFu);
      const Symbol& left = symbols_[at];
      if (left.id == kGone || left.next < 0) continue;
      const std::optional<Candidate> candidate = pair_of(left.id, symbols_[left.next].id);
      if (!candidate || candidate->rank != entry >> 32) continue;  // one of the two has joined another since
      join(at, candidate->id);
      if (left.previous >= 0) push(left.previous, pair_of);
      if (left.next >= 0) push(at, pair_of);
    }
  }

  // visit(id, first, end): the symbols [first, end) of those given joined to `id`; in order.
  template <typename Visit>
  void for_each(const Visit& visit) const {
    for (int32_t i = symbols_.empty() ? -1 : 0; i >= 0; i = symbols_[i].next) {
      const size_t next = symbols_[i].next >= 0 ? static_cast<size_t>(symbols_[i].next) : symbols_.size();
      visit(symbols_[i].id, static_cast<size_t>(i), next);
    }
  }

  void append_to(std::vector<TokenId>& ids) const {
    for (int32_t i = symbols_.empty() ? -1 : 0; i >= 0; i = symbols_[i].next) ids.push_back(symbols_[i].id);
  }

 private:
  static constexpr TokenId kGone = -1;
  struct Symbol {
    TokenId id;
    int32_t previous, next;  // -1: none
  };

  template <typename PairOf>
  bool collect(int32_t left, const PairOf& pair_of) {
    const std::optional<Candidate> candidate = pair_of(symbols_[left].id, symbols_[symbols_[left].next].id);
    if (!candidate) return false;
    heap_.push_back(static_cast<uint64_t>(candidate->rank) << 32 | static_cast<uint32_t>(left));
    return true;
  }
  template <typename PairOf>
  void push(int32_t left, const PairOf& pair_of) {
    if (collect(left, pair_of)) std::push_heap(heap_.begin(), heap_.end(), std::greater<>());
  }

  void join(int32_t at, TokenId id) {
    Symbol& left = symbols_[at];
    Symbol& right = symbols_[left.next];
    left.id = id;
    left.next = right.next;
    right.id = kGone;
    if (left.next >= 0) symbols_[left.next].previous = at;
  }

  std::vector<Symbol> symbols_;
  std::vector<uint64_t> heap_;  // rank << 32 | place of the left symbol
};

}  // namespace polymath::text
