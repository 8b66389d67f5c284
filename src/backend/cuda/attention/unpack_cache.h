#pragma once

// A packed cache's prompts on wgmma. Keys and values are unpacked once a layer and step. They go into the room of
// split-KV partial sums, which those kernels do not use.

#include "backend/cuda/attention/attention.h"

namespace polymath::backend::cuda {

// The problem over the unpacked cache of its sequences of at least `least` queries.
struct UnpackedProblem {
  AttentionProblem problem;
  bool fits = false;  // there is room, whatever the contexts are
};
UnpackedProblem unpacked_problem(const AttentionProblem& packed);
// REQUIRES: it fits. Keys have a multiple of 16 elements, values as many or none, blocks a multiple of 8 tokens.
void unpack_cache(const AttentionProblem& packed, const AttentionProblem& to, int least, cudaStream_t stream);

}  // namespace polymath::backend::cuda
