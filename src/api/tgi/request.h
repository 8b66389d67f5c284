#pragma once

// The JSON of TGI's POST /generate -> what the engine needs. Bounds are TGI's; what this engine lacks is refused by
// name.

#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "api/generation.h"
#include "api/limits.h"
#include "api/prompt.h"
#include "api/served_model.h"
#include "base/json.h"
#include "base/status.h"

namespace polymath::api {

// How the answer is shaped.
struct TgiAnswerOptions {
  bool details = false;
  bool prefill = false;    // details.prefill: the prompt's tokens with their logprobs
  bool full_text = false;  // the prompt's text before the generated text
  bool top_tokens = false;
  bool sampled = false;  // details.seed is null under greedy decoding
};

// What a route says in place of a request.
struct TgiRoute {
  std::optional<bool> stream;  // whatever the request says; absent: as the request says
  bool do_sample = false;      // this and the next: where the request does not say
  bool full_text = false;
};

struct TgiRequest {
  std::string inputs;
  bool stream = false;
  TgiAnswerOptions answer;
  GenerationPlan plan;  // without its prompt; see resolve_tgi_prompt
  PromptRules rules;
};

// A field of TGI's that is not built. Refused unless its value has no effect (asks_nothing).
struct TgiRefusedField {
  std::string_view name;
  std::string_view neutral;
};
std::span<const TgiRefusedField> tgi_refused_fields();

// kInvalidArgument, kUnimplemented: a field, named.
absl::StatusOr<TgiRequest> parse_tgi_request(const base::JsonValue& json, const TgiRoute& route,
                                             const ServedModel& model, const ApiLimits& limits);

// Tokenizes, truncates and checks the context limit: fills plan.prompts and plan.max_tokens.
absl::Status resolve_tgi_prompt(TgiRequest& request, const ServedModel& model);

}  // namespace polymath::api
