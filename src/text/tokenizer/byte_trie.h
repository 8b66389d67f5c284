#pragma once

// All keys of a set that begin at a place of a text, in order of length. Read-only once built.
// Time: the longest match, each byte a binary search among at most 256 children.

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace polymath::text {

class ByteTrie {
 public:
  ByteTrie() = default;
  // Keys without text are left out; of equal keys the last one counts. The views are not kept.
  explicit ByteTrie(std::vector<std::pair<std::string_view, int32_t>> entries);

  // visit(bytes, value) for every key that text begins with, shortest first.
  template <typename Visit>
  void prefixes(std::string_view text, const Visit& visit) const {
    uint32_t node = 0;
    for (size_t i = 0; i < text.size(); ++i) {
      node = child(node, static_cast<unsigned char>(text[i]));
      if (node == 0) return;
      if (values_[node] >= 0) visit(i + 1, values_[node]);
    }
  }

 private:
  uint32_t child(uint32_t node, unsigned char label) const {
    if (node == 0) return roots_.empty() ? 0 : roots_[label];
    uint32_t low = first_child_[node], high = first_child_[node + 1];
    while (low < high) {
      const uint32_t middle = (low + high) / 2;
      if (labels_[middle] < label) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    return low < first_child_[node + 1] && labels_[low] == label ? low : 0;
  }

  // Nodes in breadth-first order, so that a node's children are neighbours; node 0 is the root.
  std::vector<unsigned char> labels_;
  std::vector<uint32_t> first_child_;  // one more than nodes
  std::vector<int32_t> values_;        // -1: no key ends here
  std::vector<uint32_t> roots_;        // the root's children by label; 0: none
};

}  // namespace polymath::text
