#pragma once

// The variants of the attention op families, best first.

#include <span>

#include "backend/cuda/attention/attention.h"
#include "backend/cuda/linear/runner.h"
#include "backend/variant.h"

namespace polymath::backend::cuda {

// An entry's problem, and where it launches.
template <class Entry>
struct Launched {
  Entry entry;
  cudaStream_t stream = nullptr;
};
using AttentionCall = Launched<AttentionProblem>;
using AttentionOfQkvCall = Launched<AttentionOfQkv>;
using QkvPrologueCall = Launched<QkvPrologue>;

struct LatentPrologueCall {
  MlaPrologue prologue;
  HeadGemm key_up;
  LinearRunner* linear = nullptr;
  int n_multiprocessors = 0;
  cudaStream_t stream = nullptr;
};

class AttentionFamilies {
 public:
  // batch_invariant: a query's output depends on that query and its keys alone.
  explicit AttentionFamilies(bool batch_invariant);
  Variants<AttentionCall> attention;
  Variants<AttentionOfQkvCall> attention_of_qkv;
  Variants<QkvPrologueCall> prepare_qkv;
  Variants<LatentPrologueCall> prepare_latent;
};

// `rows`: the largest step's tokens and sequences. kInvalidArgument: the kernels that keep one order of sums have no
// grid for them.
absl::Status check_ordered(int64_t rows);

}  // namespace polymath::backend::cuda
