// Cuts all but the top_k most likely ids. Among equals the lowest stay.

#include <algorithm>

#include "engine/sampling/row.h"

namespace polymath::engine {
namespace {

constexpr int kHeapMax = 4096;  // a larger top_k: selection in a copy of the row

bool applies(const Row& row) { return row.params.top_k > 0 && row.params.top_k < static_cast<int>(row.logits.size()); }

// A heap of the k best so far, the worst on top. Most ids cost one comparison.
Scored kth_by_heap(const Row& row, int k) {
  auto& heap = row.scratch.scored;
  const auto end = heap.begin() + k;
  for (int32_t id = 0; id < k; ++id) heap[id] = {row.logits[id], id};
  std::make_heap(heap.begin(), end, better);
  for (int32_t id = k; id < static_cast<int32_t>(row.logits.size()); ++id) {
    if (row.logits[id] <= heap.front().score) continue;  // an equal in the heap has a lower id
    std::pop_heap(heap.begin(), end, better);
    heap[k - 1] = {row.logits[id], id};
    std::push_heap(heap.begin(), end, better);
  }
  return heap.front();
}

Scored kth_by_selection(const Row& row, int k) {
  auto& all = row.scratch.scored;
  for (int32_t id = 0; id < static_cast<int32_t>(row.logits.size()); ++id) all[id] = {row.logits[id], id};
  std::nth_element(all.begin(), all.begin() + (k - 1), all.end(), better);
  return all[k - 1];
}

void apply(Row& row) {
  const int k = row.params.top_k;
  row.raise_floor(k <= kHeapMax ? kth_by_heap(row, k) : kth_by_selection(row, k));
}

}  // namespace

extern const SamplingStep kTopK{"top_k", applies, apply, true, true};

}  // namespace polymath::engine
