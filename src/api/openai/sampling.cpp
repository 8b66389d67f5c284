#include "api/openai/sampling.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "api/json_values.h"
#include "api/sampling_fields.h"
#include "api/status.h"
#include "engine/sampling/params.h"
#include "text/token_texts.h"

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

// An id in decimal as a program writes it: no sign, blank or leading zero. So two keys never name one id.
std::optional<int32_t> plain_id(std::string_view key, int vocab) {
  int32_t id = 0;
  const auto read = std::from_chars(key.data(), key.data() + key.size(), id);
  const bool whole = read.ec == std::errc() && read.ptr == key.data() + key.size();
  if (!whole || id < 0 || id >= vocab || absl::StrCat(id).size() != key.size()) return std::nullopt;
  return id;
}

absl::Status parse_logit_bias(const base::JsonReader& j, int vocab, const ApiLimits& limits,
                              engine::SamplingParams& sampling) {
  const auto* bias = j.find("logit_bias");
  if (bias == nullptr) return absl::OkStatus();
  if (!bias->is_object()) return invalid("logit_bias", "must be an object of token ids and numbers");
  if (bias->get_object().size() > static_cast<size_t>(limits.logit_bias_max)) {
    return invalid("logit_bias", absl::StrCat("at most ", limits.logit_bias_max, " entries"));
  }
  for (const auto& member : bias->get_object()) {
    const std::optional<int32_t> id = plain_id(member.key(), vocab);
    if (!id.has_value()) {
      return invalid("logit_bias", absl::StrCat("a key is not a token id below ", vocab, " in plain decimal"));
    }
    if (!member.value().is_number()) return invalid("logit_bias", "values must be numbers");
    const double value =
        std::clamp<double>(member.value().to_number<double>(), -engine::kLogitBiasValueMax, engine::kLogitBiasValueMax);
    sampling.logit_bias.emplace_back(*id, static_cast<float>(value));
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

// As in vLLM, a word is excluded with and without a leading blank. Both are tokenized, since they rarely share ids.
absl::Status add_bad_word(const ServedModel& model, std::string_view word, engine::SamplingParams& sampling) {
  const size_t begin = word.find_first_not_of(" \t\n\r\f\v");
  if (begin == std::string_view::npos) return invalid("bad_words", "a word must have more than blanks");
  const std::string bare(word.substr(begin));
  std::vector<int32_t> alone = model.tokenizer->encode(bare, /*add_special=*/false);
  std::vector<int32_t> behind = model.tokenizer->encode(absl::StrCat(" ", bare), /*add_special=*/false);
  const auto is_known = [&](int32_t id) { return id < model.vocab; };
  for (const auto* ids : {&alone, &behind}) {
    if (ids->empty() || !std::all_of(ids->begin(), ids->end(), is_known)) {
      return invalid("bad_words", "a word has no token that the model knows");
    }
  }
  if (behind != alone) sampling.bad_ids.push_back(std::move(behind));
  sampling.bad_ids.push_back(std::move(alone));
  return absl::OkStatus();
}

absl::Status parse_bad_words(const base::JsonReader& j, const ServedModel& model, const ApiLimits& limits,
                             engine::SamplingParams& sampling) {
  const auto* words = j.find("bad_words");
  if (words == nullptr || asks_nothing(*words, "")) return absl::OkStatus();
  if (!words->is_array()) return invalid("bad_words", "must be an array of strings");
  if (words->get_array().size() > static_cast<size_t>(limits.bad_words_max)) {
    return invalid("bad_words", absl::StrCat("at most ", limits.bad_words_max, " words"));
  }
  RETURN_IF_ERROR(need_tokenizer(model, "bad_words"));
  for (const base::JsonValue& word : words->get_array()) {
    if (!word.is_string()) return invalid("bad_words", "must be an array of strings");
    if (word.get_string().size() > limits.stop_bytes_max) {
      return invalid("bad_words", absl::StrCat("a word of at most ", limits.stop_bytes_max, " bytes"));
    }
    RETURN_IF_ERROR(add_bad_word(model, {word.get_string().data(), word.get_string().size()}, sampling));
  }
  return absl::OkStatus();
}

absl::Status parse_repetition(base::JsonReader& j, engine::RepetitionRule& rule) {
  if (!j.has("repetition_detection")) return absl::OkStatus();
  base::JsonReader fields = j.object("repetition_detection");
  rule.pattern_max = fields.i("max_pattern_size", 0);
  rule.pattern_min = fields.i("min_pattern_size", 0);
  rule.n_repeats = fields.i("min_count", 0);
  RETURN_IF_ERROR(name_field(j.status()));
  if (rule.pattern_max == 0) return absl::OkStatus();
  if (rule.pattern_min == 0) rule.pattern_min = 1;
  if (rule.pattern_max < 0 || rule.pattern_max > engine::kPatternMax) {
    return invalid("repetition_detection", absl::StrCat("max_pattern_size must be 0 to ", engine::kPatternMax));
  }
  if (rule.pattern_min < 0 || rule.pattern_min > rule.pattern_max) {
    return invalid("repetition_detection", "min_pattern_size must be 0 to max_pattern_size");
  }
  if (rule.n_repeats < 2 || rule.n_repeats > engine::kRepeatsMax) {
    return invalid("repetition_detection", absl::StrCat("min_count must be 2 to ", engine::kRepeatsMax));
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
  plan.skip_special = j.b("skip_special_tokens", model.defaults.skip_special_tokens);
  plan.cache_salt = j.s("cache_salt", "");
  plan.priority = j.i64("priority", 0);
  RETURN_IF_ERROR(name_field(j.status()));
  if (sampling.top_k < -1) return invalid("top_k", "must be -1, 0 (both: off) or at least 1");
  if (sampling.min_tokens < 0) return invalid("min_tokens", "must be at least 0");
  const auto salt_characters = static_cast<size_t>(text::count_characters(plan.cache_salt));
  if (j.has("cache_salt") && (salt_characters < 1 || salt_characters > limits.cache_salt_max)) {
    return invalid("cache_salt", absl::StrCat("must have 1 to ", limits.cache_salt_max, " characters"));
  }
  RETURN_IF_ERROR(parse_logit_bias(j, model.vocab, limits, sampling));
  ASSIGN_OR_RETURN(plan.stop, parse_stop(j, model, limits));
  RETURN_IF_ERROR(parse_id_lists(j, model.vocab, limits, sampling));
  RETURN_IF_ERROR(parse_bad_words(j, model, limits, sampling));
  RETURN_IF_ERROR(parse_repetition(j, sampling.repetition));
  return parse_seed(j, sampling);
}

}  // namespace polymath::api
