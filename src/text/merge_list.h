#pragma once

// The engine of BPE: symbols in a row, of which the best neighbouring pair joins until none is left.
//
//   MergeList list(ids);
//   list.run([&](TokenId l, TokenId r) -> std::optional<MergeList::Candidate> {...});   // lower cost first
//   for (auto id : list) ...
//
// Time: n log n. Of equal costs the leftmost pair joins first.

#include <algorithm>
#include <cstdint>
#include <optional>
#include <vector>

#include "text/tokenizer.h"

namespace polymath::text {

class MergeList {
 public:
  struct Candidate {
    double cost;
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

  // `pair_of(left, right)`: what they join to, nullopt if they do not.
  template <typename PairOf>
  void run(const PairOf& pair_of) {
    for (int32_t i = 0; i + 1 < static_cast<int32_t>(symbols_.size()); ++i) collect(i, pair_of);
    std::make_heap(heap_.begin(), heap_.end());
    while (!heap_.empty()) {
      std::pop_heap(heap_.begin(), heap_.end());
      const Entry entry = heap_.back();
      heap_.pop_back();
      Symbol& left = symbols_[entry.left];
      // Out of date: one of the two has joined another since.
      if (left.id != entry.left_id || left.next < 0 || symbols_[left.next].id != entry.right_id) continue;
      join(entry);
      if (left.previous >= 0) push(left.previous, pair_of);
      if (left.next >= 0) push(entry.left, pair_of);
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
  struct Entry {
    double cost;
    int32_t left;
    TokenId left_id, right_id, id;
    bool operator<(const Entry& o) const { return cost != o.cost ? cost > o.cost : left > o.left; }
  };

  template <typename PairOf>
  bool collect(int32_t left, const PairOf& pair_of) {
    const TokenId a = symbols_[left].id, b = symbols_[symbols_[left].next].id;
    const std::optional<Candidate> candidate = pair_of(a, b);
    if (!candidate) return false;
    heap_.push_back({candidate->cost, left, a, b, candidate->id});
    return true;
  }
  template <typename PairOf>
  void push(int32_t left, const PairOf& pair_of) {
    if (collect(left, pair_of)) std::push_heap(heap_.begin(), heap_.end());
  }

  void join(const Entry& entry) {
    Symbol& left = symbols_[entry.left];
    Symbol& right = symbols_[left.next];
    left.id = entry.id;
    left.next = right.next;
    right.id = kGone;
    if (left.next >= 0) symbols_[left.next].previous = entry.left;
  }

  std::vector<Symbol> symbols_;
  std::vector<Entry> heap_;
};

}  // namespace polymath::text
