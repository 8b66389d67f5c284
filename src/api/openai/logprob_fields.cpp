#include "api/openai/logprob_fields.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "api/json_values.h"
#include "api/request/answer_size.h"
#include "api/status.h"
#include "engine/sampling/params.h"

namespace polymath::api {
namespace {

// How many ids beside each token; -1 in the request: the whole vocabulary.
absl::StatusOr<int> parse_count(base::JsonReader& j, const char* field, int vocab, const ApiLimits& limits) {
  const int value = j.i(field);
  RETURN_IF_ERROR(name_field(j.status()));
  const bool all_allowed = limits.logprobs_max < 0 || limits.logprobs_max >= vocab;
  const int max = all_allowed ? vocab : limits.logprobs_max;
  if (value == -1 && all_allowed) return vocab;
  if (value == -1) return invalid(field, "-1, the whole vocabulary, needs --max-logprobs -1");
  if (value < 0 || value > max) return invalid(field, absl::StrCat("must be between 0 and ", max, " (--max-logprobs)"));
  return value;
}

absl::Status parse_chat_counts(base::JsonReader& j, int vocab, const ApiLimits& limits, AnswerOptions& answer) {
  answer.logprobs = j.b("logprobs", false);
  RETURN_IF_ERROR(name_field(j.status()));
  if (!j.has("top_logprobs")) return absl::OkStatus();
  ASSIGN_OR_RETURN(answer.top_logprobs, parse_count(j, "top_logprobs", vocab, limits));
  if (answer.top_logprobs > 0 && !answer.logprobs) return invalid("top_logprobs", "needs logprobs: true");
  return absl::OkStatus();
}

absl::Status parse_text_counts(base::JsonReader& j, int vocab, const ApiLimits& limits, AnswerOptions& answer) {
  const auto* count = j.find("logprobs");
  if (count == nullptr || *count == false) return absl::OkStatus();
  answer.logprobs = true;
  ASSIGN_OR_RETURN(answer.top_logprobs, parse_count(j, "logprobs", vocab, limits));
  return absl::OkStatus();
}

// The ids whose log-probabilities are shown, instead of the best ones'.
absl::Status parse_wanted_ids(const base::JsonReader& j, int vocab, OpenAiRequest& out) {
  const auto* ids = j.find("logprob_token_ids");
  if (ids == nullptr || asks_nothing(*ids, "")) return absl::OkStatus();
  if (!out.answer.logprobs) return invalid("logprob_token_ids", "needs logprobs");
  std::vector<int32_t>& wanted = out.plan.sampling.logprob_ids;
  ASSIGN_OR_RETURN(wanted, parse_ids(*ids, "logprob_token_ids", vocab));
  std::sort(wanted.begin(), wanted.end());
  wanted.erase(std::unique(wanted.begin(), wanted.end()), wanted.end());
  if (wanted.size() > engine::kLogprobIdsMax) {
    return invalid("logprob_token_ids", absl::StrCat("at most ", engine::kLogprobIdsMax, " ids"));
  }
  out.answer.top_logprobs = static_cast<int>(wanted.size());
  return absl::OkStatus();
}

}  // namespace

absl::Status parse_logprobs(base::JsonReader& j, const ServedModel& model, const ApiLimits& limits,
                            OpenAiRequest& out) {
  engine::SamplingParams& sampling = out.plan.sampling;
  const bool is_chat = out.chat.has_value();
  const bool echoes = out.answer.echo && !is_chat;
  RETURN_IF_ERROR((is_chat ? parse_chat_counts : parse_text_counts)(j, model.vocab, limits, out.answer));
  const int of_prompt = out.answer.top_logprobs;
  RETURN_IF_ERROR(parse_wanted_ids(j, model.vocab, out));
  if (out.answer.logprobs) sampling.logprobs = sampling.logprob_ids.empty() ? out.answer.top_logprobs : 0;
  if (j.has("prompt_logprobs")) {
    ASSIGN_OR_RETURN(sampling.prompt_logprobs, parse_count(j, "prompt_logprobs", model.vocab, limits));
    if (out.answer.stream) return invalid("prompt_logprobs", "is not for stream: true");
    out.answer.prompt_logprobs = sampling.prompt_logprobs;
  }
  if (echoes && out.answer.logprobs) sampling.prompt_logprobs = std::max(sampling.prompt_logprobs, of_prompt);
  return absl::OkStatus();
}

absl::Status bound_openai_answer(OpenAiRequest& request, const ApiLimits& limits) {
  const AnswerOptions& answer = request.answer;
  const bool is_chat = request.chat.has_value();
  const bool echoes = answer.echo && !is_chat;
  AnswerBytes bytes;
  bytes.prompt_copies = is_chat ? 1 : answer.n;
  bytes.prompt_field = answer.prompt_logprobs >= 0 ? "prompt_logprobs" : echoes ? "echo" : "return_token_ids";
  bytes.output_field = is_chat ? "top_logprobs" : "logprobs";
  const int64_t of_token = answer.logprobs ? logprob_bytes(answer.top_logprobs) : 0;
  if (echoes) bytes.of_prompt_token += std::max(kTokenBytes, of_token);
  if (answer.return_token_ids) bytes.of_prompt_token += kTokenBytes;
  if (answer.return_prompt_text) bytes.of_prompt_token += kTokenBytes;
  if (answer.return_token_offsets) bytes.of_prompt_token += kOffsetsBytes;
  if (answer.return_assistant_mask) bytes.of_prompt_token += kMaskBytes;
  bytes.of_prompt_token += logprob_bytes(answer.prompt_logprobs);
  if (!answer.stream) {
    bytes.of_output_token = of_token;
    return bound_answer(bytes, request.rules, limits, request.plan);
  }
  ApiLimits burst = limits;
  burst.answer_bytes_max = limits.stream_burst_bytes_max;
  return bound_answer(bytes, request.rules, burst, request.plan);
}

}  // namespace polymath::api
