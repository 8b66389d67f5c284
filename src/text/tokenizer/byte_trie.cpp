#include "text/tokenizer/byte_trie.h"

#include <algorithm>

namespace polymath::text {
namespace {

using Entries = std::vector<std::pair<std::string_view, int32_t>>;

// Sorted entries [begin, end) that share their first `depth` bytes: one node.
struct Run {
  size_t begin, end, depth;
};

// Behind the entries of `node` that share the byte at its depth with entry `i`.
size_t end_of_label(const Entries& entries, const Run& node, size_t i) {
  const char label = entries[i].first[node.depth];
  while (i < node.end && entries[i].first[node.depth] == label) ++i;
  return i;
}

// The value of the key that ends at this node, the last of equal ones; -1: none does.
int32_t value_of(const Entries& entries, const Run& node) {
  int32_t value = -1;
  for (size_t i = node.begin; i < node.end && entries[i].first.size() == node.depth; ++i) value = entries[i].second;
  return value;
}

}  // namespace

ByteTrie::ByteTrie(std::vector<std::pair<std::string_view, int32_t>> entries) {
  std::erase_if(entries, [](const auto& e) { return e.first.empty(); });
  std::stable_sort(entries.begin(), entries.end(), [](const auto& a, const auto& b) { return a.first < b.first; });

  labels_.push_back(0);
  values_.push_back(-1);
  // Breadth first: the children of all nodes of one depth, in the order of those nodes.
  std::vector<Run> nodes{{0, entries.size(), 0}};
  for (size_t at = 0; at < nodes.size(); ++at) {
    const Run node = nodes[at];
    first_child_.push_back(static_cast<uint32_t>(labels_.size()));
    size_t i = node.begin;
    while (i < node.end && entries[i].first.size() == node.depth) ++i;  // the keys that end at this node
    while (i < node.end) {
      const Run child{i, end_of_label(entries, node, i), node.depth + 1};
      labels_.push_back(static_cast<unsigned char>(entries[i].first[node.depth]));
      values_.push_back(value_of(entries, child));
      nodes.push_back(child);
      i = child.end;
    }
  }
  first_child_.push_back(static_cast<uint32_t>(labels_.size()));
  roots_.assign(256, 0);
  for (uint32_t node = first_child_[0]; node < first_child_[1]; ++node) roots_[labels_[node]] = node;
}

}  // namespace polymath::text
