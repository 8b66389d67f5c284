#pragma once

// TGI's answers as JSON: the body of POST /generate, and an event of a stream. Pure functions of what was generated.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "api/collecting_writer.h"
#include "api/served_model.h"
#include "api/tgi/request.h"
#include "base/json.h"
#include "text/token_texts.h"

namespace polymath::api {

struct TgiAnswer {
  TgiAnswerOptions options;
  std::string inputs;           // under options.full_text
  std::vector<int32_t> prompt;  // ids
  uint64_t seed = 0;            // of the first choice; choice i has seed + i
};

// {"generated_text", "details"}. `choices`: the answer first, then what best_of left; at least one. Without
// options.details: {"generated_text"} of the first. Token texts are as text/token_texts.h has them.
base::JsonObject tgi_answer(const TgiAnswer& answer, const ServedModel& model,
                            const std::vector<CollectedChoice>& choices);

// What the last event of a stream says of the whole answer.
struct TgiStreamEnd {
  const ChoiceEnd& end;
  std::string_view text;
};

// The texts of a stream's tokens, in order, begin here.
text::TokenTexts tgi_token_texts(const TgiAnswer& answer, const ServedModel& model);

// One token of a stream.
struct TgiEvent {
  int index = 0;  // from 1
  const TokenInfo& token;
  const TgiStreamEnd* end = nullptr;  // null: more events follow
};

// {"index", "token", "top_tokens", "generated_text", "details"}.
base::JsonObject tgi_event(const TgiAnswer& answer, const ServedModel& model, text::TokenTexts& texts,
                           const TgiEvent& event);

}  // namespace polymath::api
