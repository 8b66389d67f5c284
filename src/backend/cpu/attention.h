#pragma once

// Attention over the paged cache, with a running softmax over runs of keys.
//
// A task is up to kTaskRows rows of one sequence and kv head; a row is a query of one of the heads that share it.
// Runs of keys start at fixed positions of the sequence, and rows do not meet: what a row gets depends neither on
// the rows beside it nor on how a prompt was cut.

#include "backend/cpu/context.h"

namespace polymath::backend::cpu {

constexpr int kTaskRows = 96;
static_assert(kTaskRows % kRowsMax == 0);

struct AttentionStep {
  const AttentionParams* params = nullptr;
  const Tensor* q = nullptr;
  const KvLayer* kv = nullptr;
  const StepLayout* layout = nullptr;
  const Tensor* out = nullptr;
};
void attention(Context& context, const AttentionStep& step);

}  // namespace polymath::backend::cpu
