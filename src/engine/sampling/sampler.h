#pragma once

// Logits -> token, by the request's own seed; and log probabilities.
//
//   ASSIGN_OR_RETURN(int32_t id, sampler.sample(input));
//   Logprobs l = sampler.logprobs(input.logits, id, 5);    // of the raw logits, before any step
//   sampler.for_device(input)                              // parameters for a device to sample the same
//
// The token depends on logits, request and output so far, nothing else. Greedy (temperature 0) takes the best id,
// among equals the lowest. Without bias, mask and penalty it does not copy the logits.
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
  int n_unknown = 0;  // output tokens after `output` that the host does not know yet
};

inline constexpr char kNotNumbersSentence[] = "the model's logits are not numbers (NaN or infinity)";

struct Logprobs {
  TokenLogprob token;
  std::span<const TokenLogprob> top;  // by falling logprob; valid until the next call
};

class Sampler {
 public:
  explicit Sampler(int vocab);

  // kInternal: a logit is NaN or infinite. kFailedPrecondition: bias, mask and min_tokens exclude every id.
  absl::StatusOr<int32_t> sample(const SampleInput& input);

  // Parameters for a model that samples on the device. Absent: a step runs on the host only, or logprobs are wanted.
  // input.logits is not read.
  std::optional<backend::SampleParams> for_device(const SampleInput& input);

  // The n_best best ids; or, if `wanted` is not empty, those. REQUIRES: n_best >= 0, at most as many wanted ids as the
  // vocabulary has, finite logits or -infinity.
  Logprobs logprobs(std::span<const float> logits, int32_t token, int n_best, std::span<const int32_t> wanted = {});

 private:
  int32_t draw(Row& row);
  int find_best(std::span<const float> logits, int n_best);
  int find_wanted(std::span<const float> logits, std::span<const int32_t> wanted);

  Scratch scratch_;
  std::vector<TokenLogprob> best_;
};

// Whether no logit is NaN or +infinity.
bool is_sane(std::span<const float> logits);

}  // namespace polymath::engine
