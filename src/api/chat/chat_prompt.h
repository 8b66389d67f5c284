#pragma once

// A chat's messages -> the prompt's text, through the model's template.
//
// The template's variables: messages, tools, documents, add_generation_prompt, the tokenizer's special tokens.
// chat_template_kwargs may add variables but never replace these.

#include <optional>
#include <string>

#include "api/limits.h"
#include "api/served_model.h"
#include "base/json.h"
#include "base/status.h"

namespace polymath::api {

struct ChatPrompt {
  base::JsonArray messages;  // regular: api/chat/messages.h
  base::JsonValue tools;     // null: none may be called
  bool parallel_calls = true;
  bool force_call = false;        // the answer is a call, or several
  std::string forced_function;    // the one to call; empty: any
  bool legacy_functions = false;  // the tools came as OpenAI's older `functions`
  bool include_reasoning = true;
  base::JsonValue documents;
  base::JsonObject kwargs;
  bool add_generation_prompt = true;
  bool continue_final_message = false;
  std::optional<std::string> chat_template;  // the name of one of the model's, or the request's own
  bool trusts_template = false;              // the request may bring its own
  std::optional<int> thinking_budget;        // tokens of reasoning; absent or -1: no limit
};

// The fields of a chat that make its prompt. `trust_template`: the request may bring a template.
absl::StatusOr<ChatPrompt> parse_chat_prompt(const base::JsonValue& request, const ApiLimits& limits,
                                             bool trust_template);

struct RenderedPrompt : text::RenderedChat {
  text::OutputFormat output;  // how the template's model writes calls and reasoning
};

// kInvalidArgument: no template, one that is not permitted, or the template's own error.
absl::StatusOr<RenderedPrompt> render_chat(const ServedModel& model, const ChatPrompt& chat);

}  // namespace polymath::api
