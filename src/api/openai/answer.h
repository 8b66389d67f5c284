#pragma once

// OpenAI's answers as JSON text: whole ones and chunks of a stream. Pure functions.

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "api/collecting_writer.h"
#include "api/openai/chat_parts.h"
#include "api/openai/request.h"
#include "api/served_model.h"
#include "text/token_texts.h"

namespace polymath::api {

// The fields that every chunk of an answer repeats. `model` must outlive it.
struct AnswerHead {
  Endpoint endpoint = Endpoint::kCompletions;
  std::string id;       // "cmpl-..." or "chatcmpl-..."
  int64_t created = 0;  // seconds since 1970
  AnswerOptions options;
  const ServedModel* model = nullptr;
  int n = 1;  // choices of each prompt
  CallShape calls = CallShape::kTools;
  bool skip_special = true;

  bool is_chat() const { return endpoint == Endpoint::kChat; }
};

struct AnswerPrompts {
  std::vector<std::vector<int32_t>> ids;  // of each prompt
  std::vector<PromptFacts> facts;         // of each prompt
  std::string chat_echo;                  // the chat's last words, that the answer begins with
};

// The tokens' offsets, under that name, and the assistant's mask: as far as the request asks for them.
void add_token_facts(base::JsonObject& out, const AnswerOptions& options, const PromptFacts& facts,
                     std::string_view offsets_name);

std::string full_answer(const AnswerHead& head, const AnswerPrompts& prompts,
                        const std::vector<CollectedChoice>& choices, const Usage& usage);

// Each chunk is one line of JSON, without SSE's "data: ". `usage`: null where the chunk has none.
std::string role_chunk(const AnswerHead& head, const AnswerPrompts& prompts, int choice, const Usage* usage);
// `texts`: where the choice's tokens are, moved on by this chunk's. REQUIRES: not null under logprobs.
std::string delta_chunk(const AnswerHead& head, const Delta& delta, text::TokenTexts* texts, const Usage* usage);
// What a stream of completions shows before the first token: the echoed text, the prompt's ids, its logprobs.
struct PromptPart {
  int choice = 0;
  const PromptFacts& facts;
  const std::vector<int32_t>& ids;
  std::span<const TokenInfo> tokens;  // from position 1 on
  text::TokenTexts* texts = nullptr;  // null: without logprobs; else at the prompt's begin, and moved on
};
std::string prompt_chunk(const AnswerHead& head, const PromptPart& part, const Usage* usage);
std::string end_chunk(const AnswerHead& head, const ChoiceEnd& end, const Usage* usage);
// `times`: of all choices, see join.
std::string usage_chunk(const AnswerHead& head, const Usage& usage, const engine::RequestTimes& times);

// The times of an answer of several choices: the first begin, the last token. A zero is no time.
engine::RequestTimes join(const engine::RequestTimes& a, const engine::RequestTimes& b);

// GET /v1/models: the served names, then the adapters. `created`: seconds since 1970.
std::string models_answer(const ServedModel& model, int64_t created);
// GET /v1/models/<name>: the entry of one. REQUIRES: adapter_of(model, name) is ok.
std::string model_answer(const ServedModel& model, std::string_view name, int64_t created);

}  // namespace polymath::api
