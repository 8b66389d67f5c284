#include "api/openai/sampling.h"

#include <algorithm>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "api/json_values.h"
#include "api/sampling_fields.h"
#include "api/status.h"
#include "engine/sampling/params.h"

namespace polymath::api {
namespace {

constexpr NumberRow kNumbers[] = {
    {"temperature", &engine::SamplingParams::temperature, 0, 100},
    {"top_p", &engine::SamplingParams::top_p, 0, 1, true},
    {"min_p", &engine::SamplingParams::min_p, 0, 1},
    {"presence_penalty", &engine::SamplingParams::presence_penalty, -2, 2},
    {"frequency_penalty", &engine::SamplingParams::frequency_penalty, -2, 2},
    {"repetition_penalty", &engine::SamplingParams::repetition_penalty, 0, 100, true},
};

absl::Status parse_logit_bias(const base::JsonReader& j, int vocab, const ApiLimits& limits,
                              engine::SamplingParams& sampling) {
  const auto* bias = j.find("logit_bias");
  if (bias == nullptr) return absl::OkStatus();
  if (!bias->is_object()) return invalid("logit_bias", "must be an object of token ids and numbers");
  if (bias->get_object().size() > static_cast<size_t>(limits.logit_bias_max)) {
    return invalid("logit_bias", absl::StrCat("at most ", limits.logit_bias_max, " entries"));
  }
  for (const auto& member : bias->get_object()) {
    int id = 0;
    const std::string key = excerpt({member.key().data(), member.key().size()}, 32);
    if (!absl::SimpleAtoi(key, &id) || id < 0 || id >= vocab) {
      return invalid("logit_bias", absl::StrCat("`", key, "` is not a token id below ", vocab));
    }
    if (!member.value().is_number()) return invalid("logit_bias", "values must be numbers");
    const double value =
        std::clamp<double>(member.value().to_number<double>(), -engine::kLogitBiasValueMax, engine::kLogitBiasValueMax);
    sampling.logit_bias.emplace_back(id, static_cast<float>(value));
  }
  return absl::OkStatus();
}

absl::Status parse_id_lists(const base::JsonReader& j, int vocab, const ApiLimits& limits,
                            engine::SamplingParams& sampling) {
  if (const auto* ids = j.find("stop_token_ids"); ids != nullptr) {
    ASSIGN_OR_RETURN(sampling.stop_ids, parse_ids(*ids, "stop_token_ids", vocab));
    if (sampling.stop_ids.size() > static_cast<size_t>(limits.stop_ids_max)) {
      return invalid("stop_token_ids", absl::StrCat("at most ", limits.stop_ids_max, " ids"));
    }
  }
  if (const auto* ids = j.find("allowed_token_ids"); ids != nullptr) {
    ASSIGN_OR_RETURN(sampling.allowed_ids, parse_ids(*ids, "allowed_token_ids", vocab));
    if (sampling.allowed_ids.empty()) return invalid("allowed_token_ids", "must not be empty");
    if (sampling.allowed_ids.size() > static_cast<size_t>(vocab)) {
      return invalid("allowed_token_ids", "has more ids than the vocabulary");
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status parse_sampling(base::JsonReader& j, const ServedModel& model, const ApiLimits& limits,
                            GenerationPlan& plan) {
  engine::SamplingParams& sampling = plan.sampling;
  sampling = default_sampling(model);
  RETURN_IF_ERROR(parse_numbers(j, kNumbers, sampling));
  sampling.top_k = j.i("top_k", sampling.top_k);
  sampling.min_tokens = j.i("min_tokens", 0);
  sampling.ignore_eos = j.b("ignore_eos", false);
  plan.include_stop = j.b("include_stop_str_in_output", false);
  plan.skip_special = j.b("skip_special_tokens", true);
  plan.cache_salt = j.s("cache_salt", "");
  plan.priority = j.i("priority", 0);
  RETURN_IF_ERROR(name_field(j.status()));
  if (sampling.top_k < -1) return invalid("top_k", "must be -1, 0 (both: off) or at least 1");
  if (sampling.min_tokens < 0) return invalid("min_tokens", "must be at least 0");
  if (plan.cache_salt.size() > limits.cache_salt_bytes_max) {
    return invalid("cache_salt", absl::StrCat("at most ", limits.cache_salt_bytes_max, " bytes"));
  }
  RETURN_IF_ERROR(parse_logit_bias(j, model.vocab, limits, sampling));
  ASSIGN_OR_RETURN(plan.stop, parse_stop(j, model, limits));
  RETURN_IF_ERROR(parse_id_lists(j, model.vocab, limits, sampling));
  return parse_seed(j, sampling);
}

}  // namespace polymath::api
