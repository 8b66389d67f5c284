#pragma once

// Logits -> token, by the request's own seed; and logarithms of probabilities.
//
//   ASSIGN_OR_RETURN(int32_t id, sampler.sample(input));
//   Logprobs l = sampler.logprobs(input.logits, id, 5);    // of the raw logits, before any step
//
// The token depends on the logits, the request and the output's length alone. Greedy (temperature 0) takes the best,
// the lowest id among equals; without a bias, mask or penalty it reads the logits where they are.
//
// Thread safety: none. Nothing is allocated after construction.

#include <span>

#include "base/status.h"
#include "engine/request.h"
#include "engine/sampling/row.h"

namespace polymath::engine {

struct SampleInput {
  const SamplingParams& params;
  std::span<const float> logits;  // [vocab]
  std::span<const int32_t> prompt, output;
  TokenMask* mask = nullptr;
};

struct Logprobs {
  TokenLogprob chosen;
  std::span<const TokenLogprob> top;  // by falling logprob; valid until the next call
};

class Sampler {
 public:
  explicit Sampler(int vocab);

  // kInternal: the model gave NaN or infinity. kFailedPrecondition: bias, mask and min_tokens leave no id that may
  // come.
  absl::StatusOr<int32_t> sample(const SampleInput& input);

  // REQUIRES: 0 <= n_best <= kLogprobsMax, finite logits or -infinity.
  Logprobs logprobs(std::span<const float> logits, int32_t chosen, int n_best);

 private:
  int32_t draw(Row& row);

  Scratch scratch_;
  std::vector<TokenLogprob> best_;
};

// Whether all logits are numbers, or -infinity.
bool is_sane(std::span<const float> logits);

}  // namespace polymath::engine
