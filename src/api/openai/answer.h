#pragma once

// OpenAI's answers as JSON text: whole ones and chunks of a stream. Pure functions.

#include <cstdint>
#include <string>
#include <vector>

#include "api/collecting_writer.h"
#include "api/openai/request.h"
#include "api/served_model.h"

namespace polymath::api {

// The part that every chunk of an answer repeats. `model` must outlive it.
struct AnswerHead {
  Endpoint endpoint = Endpoint::kCompletions;
  std::string id;       // "cmpl-..." or "chatcmpl-..."
  int64_t created = 0;  // seconds since 1970
  AnswerOptions options;
  const ServedModel* model = nullptr;
  int n = 1;  // choices of each prompt

  bool is_chat() const { return endpoint == Endpoint::kChat; }
};

// `prompts`: the ids of each prompt; `prompt_texts`: what echo shows before each answer, else empty.
struct AnswerPrompts {
  std::vector<std::vector<int32_t>> ids;
  std::vector<std::string> texts;
};

std::string full_answer(const AnswerHead& head, const AnswerPrompts& prompts,
                        const std::vector<CollectedChoice>& choices, const Usage& usage);

// `usage`: null unless the chunk carries it. All are one line of JSON, without SSE's "data: ".
std::string role_chunk(const AnswerHead& head, int choice, const std::vector<int32_t>& prompt_ids, const Usage* usage);
// `offset`: characters of the choice before it.
std::string delta_chunk(const AnswerHead& head, const Delta& delta, int64_t offset, const Usage* usage);
// Completions: what echo shows, or the prompt's ids.
std::string prompt_chunk(const AnswerHead& head, int choice, std::string_view text,
                         const std::vector<int32_t>& prompt_ids, const Usage* usage);
std::string end_chunk(const AnswerHead& head, const ChoiceEnd& end, const Usage* usage);
std::string usage_chunk(const AnswerHead& head, const Usage& usage);

// GET /v1/models: the served names, then the adapters. `created`: seconds since 1970.
std::string models_answer(const ServedModel& model, int64_t created);

}  // namespace polymath::api
