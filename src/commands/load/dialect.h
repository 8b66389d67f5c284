#pragma once

// How a request is written and an answer read in each API that servers speak: a row of a table.

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"

namespace polymath::commands::load {

enum class PromptForm { kIds, kText, kMessages };

struct Message {
  std::string role, content;
};

// A prompt in the one form that its request has; the other members are empty.
struct Prompt {
  std::vector<int32_t> ids;
  std::string text;
  std::vector<Message> messages;
};

// What all requests of a run have in common.
struct AskOptions {
  std::string model;  // empty: the field is left out
  std::optional<double> temperature, top_p;
  std::optional<int> top_k;
  bool ignore_eos = true;        // vLLM's extension: answers have the length that was asked for
  bool return_token_ids = true;  // vLLM's extension: events carry token ids
};

struct Ask {
  const AskOptions& options;
  PromptForm form;
  const Prompt& prompt;
  int output_len;
};

// What one event, or a whole answer, says.
struct EventFacts {
  std::optional<std::vector<int32_t>> ids;  // of the tokens that it carries; absent: it does not say
  std::optional<int64_t> output_total;      // tokens of the answer so far, by its usage
  std::optional<int64_t> prompt_total;
  bool has_choice = false;  // false: usage alone
  bool ended = false;       // it is the last with tokens
  std::string text;
  std::string error;  // the server's message; empty: none
};

struct Dialect {
  std::string_view name;  // of --backend
  std::string_view path;  // --endpoint replaces it
  bool streams;           // false: the answer comes at once, and its first token has no time
  bool takes_ids;
  bool chats;  // the prompt is a list of messages
  base::JsonObject (*body)(const Ask& ask);
  EventFacts (*read)(const base::JsonValue& event);
};

std::span<const Dialect> dialects();
const Dialect* find_dialect(std::string_view name);  // null: none of that name

// The server's sentence in the body of a refusal, of any of the dialects; else the body's beginning.
std::string error_text(std::string_view body);

}  // namespace polymath::commands::load
