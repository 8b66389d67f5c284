#include "api/tgi/request.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "api/json_values.h"
#include "api/sampling_fields.h"
#include "api/status.h"

namespace polymath::api {
namespace {

using engine::SamplingParams;

constexpr NumberRow kNumbers[] = {
    {"temperature", &SamplingParams::temperature, 0, 100, /*min_is_open=*/true},
    {"top_p", &SamplingParams::top_p, 0, 1, /*min_is_open=*/true, /*max_is_open=*/true},
    {"typical_p", &SamplingParams::typical_p, 0, 1, /*min_is_open=*/true, /*max_is_open=*/true},
    {"repetition_penalty", &SamplingParams::repetition_penalty, 0, 100, /*min_is_open=*/true},
    {"frequency_penalty", &SamplingParams::frequency_penalty, -2, 2},
};

constexpr TgiRefusedField kRefused[] = {
    {"watermark", "false"},
    {"adapter_source", ""},
};

absl::Status check_refused(const base::JsonReader& parameters) {
  for (const TgiRefusedField& field : kRefused) {
    const auto* value = parameters.find(field.name);
    if (value != nullptr && !asks_nothing(*value, field.neutral)) return not_built(field.name, "not built yet");
  }
  for (const auto& member : parameters.value().get_object()) {
    const std::string_view name(member.key().data(), member.key().size());
    if (name != "grammar" && promises_form(name) && !asks_nothing(member.value(), ""))
      return not_built(name, "not built yet");
  }
  return absl::OkStatus();
}

// An optional count of at least 1.
absl::StatusOr<std::optional<int>> parse_count(base::JsonReader& j, const char* name) {
  if (!j.has(name)) return std::optional<int>();
  const int count = j.i(name);
  RETURN_IF_ERROR(name_field(j.status()));
  if (count < 1) return invalid(name, "must be at least 1");
  return std::optional<int>(count);
}

// As in TGI, do_sample turns sampling on, and so does a temperature, top_k, top_p or typical_p that is not neutral.
// Otherwise decoding is greedy.
absl::Status parse_sampling_kind(base::JsonReader& j, const TgiRoute& route, TgiRequest& out) {
  SamplingParams& sampling = out.plan.sampling;
  const bool do_sample = j.b("do_sample", route.do_sample);
  RETURN_IF_ERROR(name_field(j.status()));
  ASSIGN_OR_RETURN(const std::optional<int> top_k, parse_count(j, "top_k"));
  sampling.top_k = top_k.value_or(0);
  const bool cuts = top_k.has_value() || sampling.top_p < 1 || sampling.typical_p < 1;
  out.answer.sampled = do_sample || sampling.temperature != 1 || cuts;
  if (!out.answer.sampled) sampling.temperature = 0;
  if (const auto* seed = j.find("seed"); seed != nullptr && seed->is_int64() && seed->get_int64() < 0) {
    return invalid("seed", "must be at least 0");
  }
  return parse_seed(j, sampling);
}

// Candidates of greedy decoding, or of one seed, would all be the same.
absl::Status parse_best_of(base::JsonReader& j, const ApiLimits& limits, TgiRequest& out) {
  ASSIGN_OR_RETURN(const std::optional<int> best_of, parse_count(j, "best_of"));
  out.plan.n = best_of.value_or(1);
  if (out.plan.n == 1) return absl::OkStatus();
  if (out.plan.n > limits.best_of_max) {
    return invalid("best_of", absl::StrCat("must be at most ", limits.best_of_max, " (--max-best-of), not ", *best_of));
  }
  if (out.stream) return invalid("best_of", "above 1 is not for streams");
  if (!out.answer.sampled) return invalid("best_of", "above 1 needs sampling: do_sample, temperature, top_k or top_p");
  if (j.has("seed")) return invalid("seed", "must not be set where best_of is above 1");
  out.plan.sampling.logprobs = 0;  // they choose the best
  return absl::OkStatus();
}

absl::Status parse_adapter(base::JsonReader& j, const ServedModel& model, GenerationPlan& plan) {
  const std::string name = j.s("adapter_id", "");
  RETURN_IF_ERROR(name_field(j.status()));
  if (name.empty()) return absl::OkStatus();
  const auto adapter = adapter_of(model, name);
  if (!adapter.ok()) return invalid("adapter_id", std::string(adapter.status().message()));
  plan.adapter = *adapter;
  return absl::OkStatus();
}

absl::Status parse_answer(base::JsonReader& j, const TgiRoute& route, const ApiLimits& limits, TgiRequest& out) {
  TgiAnswerOptions& answer = out.answer;
  answer.prefill = j.b("decoder_input_details", false);
  answer.details = j.b("details", false) || answer.prefill;
  answer.full_text = j.b("return_full_text", route.full_text);
  const int top = j.i("top_n_tokens", 0);
  RETURN_IF_ERROR(name_field(j.status()));
  if (top < 0 || top > limits.top_tokens_max) {
    return invalid("top_n_tokens",
                   absl::StrCat("must be between 0 and ", limits.top_tokens_max, " (--max-top-n-tokens)"));
  }
  if (answer.prefill && out.stream) return invalid("decoder_input_details", "is not for streams");
  answer.top_tokens = top > 0;
  if (answer.details || out.stream) out.plan.sampling.logprobs = top;
  if (answer.prefill) out.plan.sampling.prompt_logprobs = 0;
  return absl::OkStatus();
}

absl::Status parse_parameters(base::JsonReader& j, const TgiRoute& route, const ServedModel& model,
                              const ApiLimits& limits, TgiRequest& out) {
  RETURN_IF_ERROR(check_refused(j));
  RETURN_IF_ERROR(parse_numbers(j, kNumbers, out.plan.sampling));
  RETURN_IF_ERROR(parse_sampling_kind(j, route, out));
  RETURN_IF_ERROR(parse_best_of(j, limits, out));
  ASSIGN_OR_RETURN(out.plan.stop, parse_stop(j, model, limits));
  ASSIGN_OR_RETURN(out.rules.max_tokens, parse_count(j, "max_new_tokens"));
  ASSIGN_OR_RETURN(out.rules.truncate, parse_count(j, "truncate"));
  RETURN_IF_ERROR(parse_adapter(j, model, out.plan));
  if (const auto* grammar = j.find("grammar"); grammar != nullptr && !asks_nothing(*grammar, "")) {
    ASSIGN_OR_RETURN(const std::optional<Form> form, parse_response_format("grammar", *grammar));
    if (form.has_value()) {
      ASSIGN_OR_RETURN(out.plan.grammar, compile_form(model, *form, {}));
    }
  }
  return parse_answer(j, route, limits, out);
}

}  // namespace

std::span<const TgiRefusedField> tgi_refused_fields() { return kRefused; }

absl::StatusOr<TgiRequest> parse_tgi_request(const base::JsonValue& json, const TgiRoute& route,
                                             const ServedModel& model, const ApiLimits& limits) {
  base::JsonReader j(json);
  RETURN_IF_ERROR(j.status());
  TgiRequest out;
  if (!j.has("inputs")) return invalid("inputs", "missing");
  out.inputs = j.s("inputs");
  out.stream = route.stream.has_value() ? *route.stream : j.b("stream", false);
  RETURN_IF_ERROR(name_field(j.status()));
  if (out.inputs.empty()) return invalid("inputs", "cannot be empty");
  RETURN_IF_ERROR(need_tokenizer(model, "inputs"));
  out.rules.prompt_field = "inputs";
  out.rules.max_tokens_field = "max_new_tokens";
  out.rules.clamp = limits.clamp_max_tokens;
  out.plan.include_stop = true;  // TGI's generated_text ends with the stop sequence
  out.plan.sampling.eos_ids = model.eos_ids;
  static const base::JsonValue kNone = base::JsonObject{};
  const auto* parameters = j.find("parameters");
  if (parameters != nullptr && !parameters->is_object()) return invalid("parameters", "must be an object");
  base::JsonReader p(parameters != nullptr ? *parameters : kNone);
  RETURN_IF_ERROR(parse_parameters(p, route, model, limits, out));
  return out;
}

absl::Status resolve_tgi_prompt(TgiRequest& request, const ServedModel& model) {
  return add_prompt(model, request.rules, request.inputs, request.plan).status();
}

}  // namespace polymath::api
