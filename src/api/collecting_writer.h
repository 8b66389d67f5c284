#pragma once

// An AnswerWriter that gathers the choices and answers once, at the end: for replies that are not streamed.

#include <string>
#include <utility>
#include <vector>

#include "api/generation.h"

namespace polymath::api {

struct CollectedChoice {
  std::string text;
  text::OutputEvents events;
  std::vector<TokenInfo> tokens;
  // From position 1 on, if their logprobs were asked for. Only the first choice of a prompt has them.
  std::vector<TokenInfo> prompt_tokens;
  ChoiceEnd end;
};

class CollectingWriter : public AnswerWriter {
 public:
  explicit CollectingWriter(int n_choices) : choices_(static_cast<size_t>(n_choices)) {}

  void on_prompt_token(int choice, int, const TokenInfo& token) final { at(choice).prompt_tokens.push_back(token); }
  void on_delta(const Delta& delta, const Usage&) final {
    CollectedChoice& choice = at(delta.choice);
    choice.text += delta.text;
    for (const text::OutputEvent& event : delta.events) text::append_event(choice.events, event);
    choice.tokens.insert(choice.tokens.end(), delta.tokens.begin(), delta.tokens.end());
  }
  void on_end(const ChoiceEnd& end, const Usage&) final { at(end.choice).end = end; }
  void on_done(const Usage& usage) final { answer(std::move(choices_), usage); }

 private:
  virtual void answer(std::vector<CollectedChoice> choices, const Usage& usage) = 0;

  CollectedChoice& at(int choice) { return choices_[static_cast<size_t>(choice)]; }
  std::vector<CollectedChoice> choices_;
};

}  // namespace polymath::api
