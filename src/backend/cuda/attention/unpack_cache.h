#pragma once

// A packed cache's prompts on wgmma. Keys and values are unpacked once a layer and step. They go into the room of
// split-KV partial sums, which those kernels do not use.

#include "backend/cuda/attention/attention.h"

namespace polymath::backend::cuda {

// The problem over the unpacked cache of its sequences of at least `least` queries.
struct UnpackedProblem {
  AttentionProblem problem;
  bool sure = false;  // there is room, whatever the contexts are; else problem.unpacked says
};
UnpackedProblem unpacked_problem(const AttentionProblem& packed);
// REQUIRES: keys of a multiple of 16 elements, values of as many or none. Blocks of a multiple of 8 tokens.
void unpack_cache(const AttentionProblem& packed, const UnpackedProblem& to, int least, cudaStream_t stream);

// The packed problem with less room for partial sums: the end keeps what unpack_cache() says of the sequences.
AttentionProblem beside_unpacked(const AttentionProblem& packed, const UnpackedProblem& unpacked);

}  // namespace polymath::backend::cuda
