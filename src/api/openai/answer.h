#pragma once

// OpenAI's answers as JSON text: whole ones and chunks of a stream. Pure functions.

#include <cstdint>
#include <string>
#include <vector>

#include "api/collecting_writer.h"
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
  bool skip_special = true;

  bool is_chat() const { return endpoint == Endpoint::kChat; }
};

struct AnswerPrompts {
  std::vector<std::vector<int32_t>> ids;  // of each prompt
  std::vector<std::string> texts;         // that echo shows before each answer; empty without echo
};

std::string full_answer(const AnswerHead& head, const AnswerPrompts& prompts,
                        const std::vector<CollectedChoice>& choices, const Usage& usage);

// Each chunk is one line of JSON, without SSE's "data: ". `usage`: null where the chunk has none.
std::string role_chunk(const AnswerHead& head, int choice, const std::vector<int32_t>& prompt_ids, const Usage* usage);
// `texts`: where the choice's tokens are, moved on by this chunk's. REQUIRES: not null under logprobs.
std::string delta_chunk(const AnswerHead& head, const Delta& delta, text::TokenTexts* texts, const Usage* usage);
// Of completions, before the first token: the echoed text, the prompt's ids, or both.
std::string prompt_chunk(const AnswerHead& head, int choice, std::string_view text,
                         const std::vector<int32_t>& prompt_ids, const Usage* usage);
std::string end_chunk(const AnswerHead& head, const ChoiceEnd& end, const Usage* usage);
std::string usage_chunk(const AnswerHead& head, const Usage& usage);

// GET /v1/models: the served names, then the adapters. `created`: seconds since 1970.
std::string models_answer(const ServedModel& model, int64_t created);
// GET /v1/models/<name>: the entry of one. REQUIRES: adapter_of(model, name) is ok.
std::string model_answer(const ServedModel& model, std::string_view name, int64_t created);

}  // namespace polymath::api
