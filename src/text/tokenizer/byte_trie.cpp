#include "text/tokenizer/byte_trie.h"

#include <algorithm>

namespace polymath::text {

ByteTrie::ByteTrie(std::vector<std::pair<std::string_view, int32_t>> entries) {
  std::erase_if(entries, [](const auto& e) { return e.first.empty(); });
  std::stable_sort(entries.begin(), entries.end(), [](const auto& a, const auto& b) { return a.first < b.first; });

  struct Pending {
    size_t begin, end, depth;  // entries that share their first `depth` bytes
  };
  std::vector<Pending> level{{0, entries.size(), 0}};
  labels_.push_back(0);
  values_.push_back(-1);
  while (!level.empty()) {
    std::vector<Pending> next;
    for (const Pending& p : level) {
      first_child_.push_back(static_cast<uint32_t>(labels_.size()));
      size_t i = p.begin;
      while (i < p.end && entries[i].first.size() == p.depth) ++i;  // the keys that end at this node
      while (i < p.end) {
        const auto label = static_cast<unsigned char>(entries[i].first[p.depth]);
        const size_t begin = i;
        int32_t value = -1;
        for (; i < p.end && static_cast<unsigned char>(entries[i].first[p.depth]) == label; ++i) {
          if (entries[i].first.size() == p.depth + 1) value = entries[i].second;
        }
        labels_.push_back(label);
        values_.push_back(value);
        next.push_back({begin, i, p.depth + 1});
      }
    }
    level = std::move(next);
  }
  first_child_.push_back(static_cast<uint32_t>(labels_.size()));
  roots_.assign(256, 0);
  for (uint32_t node = first_child_[0]; node < first_child_[1]; ++node) roots_[labels_[node]] = node;
}

}  // namespace polymath::text
