#pragma once

// Logits -> token, by the request's own seed; and logarithms of probabilities.
//
//   ASSIGN_OR_RETURN(int32_t id, sampler.sample(input));
//   Logprobs l = sampler.logprobs(input.logits, id, 5);    // of the raw logits, before any step
//   sampler.for_device(input)                              // how a device chooses the same, if it can
//
// The token depends on the logits, the request and the output's length alone. Greedy (temperature 0) takes the best,
// the lowest id among equals; without a bias, mask or penalty it reads the logits where they are.
//
// Thread safety: none. Nothing is allocated after construction.

#include <optional>
#include <span>

#include "backend/params.h"
#include "base/status.h"
#include "engine/request.h"
#include "engine/sampling/row.h"

namespace polymath::engine {

struct SampleInput {
  const SamplingParams& params;
  std::span<const float> logits;  // [vocab]
  std::span<const int32_t> prompt, output;
  TokenMask* mask = nullptr;
  int n_unknown = 0;  // output tokens that follow, chosen and not known yet
};

inline constexpr char kNotNumbersSentence[] = "the model's logits are not numbers (NaN or infinity)";

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

  // What a device that chooses (model::Model::samples) needs; absent: only the host can, or it wants to see the logits.
  // The logits are not looked at.
  std::optional<backend::SampleParams> for_device(const SampleInput& input);

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
