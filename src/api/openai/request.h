#pragma once

// The JSON of /v1/completions and /v1/chat/completions -> OpenAiRequest. Every number is checked here, or by the
// engine's check_sampling, before anything is submitted.

#include <optional>
#include <string>
#include <vector>

#include "api/chat/chat_prompt.h"
#include "api/generation.h"
#include "api/limits.h"
#include "api/openai/beam_search.h"
#include "api/openai/fields.h"
#include "api/prompt.h"
#include "api/served_model.h"
#include "base/json.h"
#include "base/status.h"

namespace polymath::api {

// How the answer is formatted. The engine's part is in GenerationPlan.
struct AnswerOptions {
  std::string model;       // as the request named it
  std::string request_id;  // the request's own; empty: none
  bool stream = false;
  bool include_usage = false;
  bool continuous_usage = false;
  int n = 1;  // choices of each prompt that are shown; plan.n, best_of, may be more
  bool echo = false;
  bool return_prompt_text = false;
  bool return_token_offsets = false;
  bool return_assistant_mask = false;
  bool logprobs = false;
  int top_logprobs = 0;      // 0: of the chosen token alone
  int stream_interval = 1;   // tokens of a chunk, but for the first and the last
  int prompt_logprobs = -1;  // n: with the n best; as a field of their own; echo has them in logprobs
  bool return_token_ids = false;
  bool metrics = false;  // the answer tells its times: the server's switch, not the request's
  bool tokens_as_ids = false;
};

// What an answer can tell of a prompt beside its ids, where the request asks for it.
struct PromptFacts {
  std::string text;                      // for echo (completions) and return_prompt_text
  std::vector<text::TextToken> offsets;  // in characters of the text before truncation; where the prompt is ids: none
  std::vector<int32_t> assistant_mask;   // 1: the token is of the assistant's words in the chat
};

struct OpenAiRequest {
  AnswerOptions answer;
  GenerationPlan plan;                // without prompts and max_tokens; see resolve_prompts
  std::vector<PromptInput> prompts;   // of a chat: none; its text comes from `chat`
  std::optional<std::string> suffix;  // completions: the answer goes between prompt and suffix
  std::optional<ChatPrompt> chat;
  std::optional<Form> form;        // of the answer; absent: any text. resolve_prompts compiles it
  std::optional<BeamRules> beams;  // absent: no beam search
  // Made by resolve_prompts.
  std::vector<PromptFacts> prompt_facts;  // of each prompt
  std::string chat_echo;                  // the last message's words, under echo, if the assistant's
  PromptRules rules;
  std::vector<std::string> unknown_fields;  // names that have no effect, shortened; see check_fields
};

struct OpenAiLimits {
  ApiLimits limits;
  bool trust_template = false;
};

// kNotFound: another model's name. kInvalidArgument, kUnimplemented: a field, named.
absl::StatusOr<OpenAiRequest> parse_openai_request(const base::JsonValue& json, Endpoint endpoint,
                                                   const ServedModel& model, const OpenAiLimits& limits);

// Template, grammar, tokenizer and lengths: fills plan.prompts, plan.grammar and plan.max_tokens. kInvalidArgument: it
// does not fit, or a field, named. kUnimplemented: a feature of the grammar.
// kCancelled: as rules.stopped says.
absl::Status resolve_prompts(OpenAiRequest& request, const ServedModel& model);

}  // namespace polymath::api
