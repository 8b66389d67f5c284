#pragma once

// Attention over the paged cache, with a running softmax over runs of keys.
//
// A task is up to kTaskRows rows of one sequence and kv head. A row is one query of one head that shares the kv head.
// Runs of keys end at fixed positions of the sequence, and no row reads another's sums. So a row's bits depend neither
// on its neighbours nor on how a prompt was cut.

#include "backend/cpu/context.h"

namespace polymath::backend::cpu {

constexpr int kTaskRows = 96;
static_assert(kTaskRows % kCacheRowsMax == 0);

struct AttentionStep {
  const AttentionParams* params = nullptr;
  const Tensor* q = nullptr;
  const KvLayer* kv = nullptr;
  const StepLayout* layout = nullptr;
  const Tensor* out = nullptr;
};
void attention(Context& context, const AttentionStep& step);

}  // namespace polymath::backend::cpu
