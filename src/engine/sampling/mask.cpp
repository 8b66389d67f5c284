// Keeps only the ids that the grammar allows next.

#include <algorithm>
#include <bit>

#include "engine/sampling/row.h"

namespace polymath::engine {
namespace {

bool applies(const Row& row) { return row.mask != nullptr; }

void apply(Row& row) {
  auto& words = row.scratch.words;
  std::fill(words.begin(), words.end(), ~uint64_t{0});
  row.mask->fill(words);
  for (size_t w = 0; w < words.size(); ++w) {
    if (words[w] == 0) {
      const size_t begin = w * 64, end = std::min(begin + 64, row.logits.size());
      std::fill(row.logits.begin() + begin, row.logits.begin() + end, kNever);
      continue;
    }
    for (uint64_t banned = ~words[w]; banned != 0; banned &= banned - 1) {
      const size_t id = w * 64 + std::countr_zero(banned);
      if (id < row.logits.size()) row.logits[id] = kNever;
    }
  }
}

}  // namespace

extern const SamplingStep kMask{"mask", applies, apply, false, false};

}  // namespace polymath::engine
