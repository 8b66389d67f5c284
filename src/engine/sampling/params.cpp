#include "engine/sampling/params.h"

#include <cmath>
#include <string_view>
#include <vector>

#include "absl/strings/str_cat.h"

namespace polymath::engine {
namespace {

struct Range {
  const char* name;
  double value, min, max;
  bool min_open = false;  // excludes the minimum itself
};

// Tests for being inside: NaN fails every comparison.
absl::Status check_range(const Range& r) {
  const bool above = r.min_open ? r.value > r.min : r.value >= r.min;
  if (above && r.value <= r.max) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(r.name, " must be in ", r.min_open ? "(" : "[", r.min, ", ", r.max, "], and is ", r.value));
}

absl::Status check_count(const char* name, size_t count, int max) {
  if (count <= static_cast<size_t>(max)) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(name, " may have ", max, " entries at most, and has ", count));
}

absl::Status check_id(const char* name, int32_t id, int vocab) {
  if (id >= 0 && id < vocab) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(name, " names token ", id, ", and the vocabulary has ids from 0 to ", vocab - 1));
}

absl::Status check_ids(const char* name, const std::vector<int32_t>& ids, int max, int vocab) {
  RETURN_IF_ERROR(check_count(name, ids.size(), max));
  for (const int32_t id : ids) RETURN_IF_ERROR(check_id(name, id, vocab));
  return absl::OkStatus();
}

absl::Status check_bad_ids(const std::vector<std::vector<int32_t>>& bad_ids, int vocab) {
  RETURN_IF_ERROR(check_count("bad_words", bad_ids.size(), kBadIdsMax));
  for (const std::vector<int32_t>& ids : bad_ids) {
    if (ids.empty()) return absl::InvalidArgumentError("bad_words has one without a token");
    RETURN_IF_ERROR(check_ids("bad_words", ids, INT32_MAX, vocab));
  }
  return absl::OkStatus();
}

absl::Status check_repetition(const RepetitionRule& rule) {
  if (rule.pattern_max == 0) return absl::OkStatus();
  const auto range = [](const char* name, int value, int min, int max) {
    return check_range({name, static_cast<double>(value), static_cast<double>(min), static_cast<double>(max)});
  };
  RETURN_IF_ERROR(range("repetition_detection.max_pattern_size", rule.pattern_max, 1, kPatternMax));
  RETURN_IF_ERROR(range("repetition_detection.min_pattern_size", rule.pattern_min, 1, rule.pattern_max));
  return range("repetition_detection.min_count", rule.n_repeats, 2, kRepeatsMax);
}

}  // namespace

absl::Status check_sampling(const SamplingParams& p, int vocab) {
  const Range ranges[] = {
      {"temperature", p.temperature, 0, kTemperatureMax},
      {"top_k", static_cast<double>(p.top_k), -1, INT32_MAX},
      {"top_p", p.top_p, 0, 1, true},
      {"min_p", p.min_p, 0, 1},
      {"typical_p", p.typical_p, 0, 1, true},
      {"presence_penalty", p.presence_penalty, -2, 2},
      {"frequency_penalty", p.frequency_penalty, -2, 2},
      {"repetition_penalty", p.repetition_penalty, 0, kRepetitionPenaltyMax, true},
      {"max_tokens", static_cast<double>(p.max_tokens), 1, INT32_MAX},
      {"min_tokens", static_cast<double>(p.min_tokens), 0, static_cast<double>(p.max_tokens)},
      {"logprobs", static_cast<double>(p.logprobs), -1, static_cast<double>(vocab)},
      {"prompt_logprobs", static_cast<double>(p.prompt_logprobs), -1, static_cast<double>(vocab)},
  };
  for (const Range& range : ranges) RETURN_IF_ERROR(check_range(range));
  RETURN_IF_ERROR(check_count("logit_bias", p.logit_bias.size(), kLogitBiasMax));
  for (const auto& [id, bias] : p.logit_bias) {
    RETURN_IF_ERROR(check_id("logit_bias", id, vocab));
    RETURN_IF_ERROR(check_range({"logit_bias", bias, -kLogitBiasValueMax, kLogitBiasValueMax}));
  }
  RETURN_IF_ERROR(check_bad_ids(p.bad_ids, vocab));
  RETURN_IF_ERROR(check_repetition(p.repetition));
  RETURN_IF_ERROR(check_ids("logprob_token_ids", p.logprob_ids, kLogprobIdsMax, vocab));
  RETURN_IF_ERROR(check_ids("allowed_token_ids", p.allowed_ids, kAllowedIdsMax, vocab));
  RETURN_IF_ERROR(check_ids("stop_token_ids", p.stop_ids, kStopIdsMax, vocab));
  return check_ids("eos_token_id", p.eos_ids, kStopIdsMax, vocab);
}

}  // namespace polymath::engine
