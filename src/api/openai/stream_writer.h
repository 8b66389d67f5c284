#pragma once

// An OpenAI answer as a stream of chunks, in the order of events.
//
// Under echo with logprobs a prompt's choices wait for its logprobs, which the prompt's first choice brings.

#include <string>
#include <variant>
#include <vector>

#include "api/event_stream.h"
#include "api/openai/writers.h"

namespace polymath::api {

class StreamWriter : public AnswerWriter {
 public:
  StreamWriter(WriterContext context, int n_choices);

  void on_prompt_token(int choice, int position, const TokenInfo& token) override;
  void on_delta(const Delta& delta, const Usage& so_far) override;
  void on_end(const ChoiceEnd& end, const Usage& so_far) override;
  void on_done(const Usage& usage) override;
  void on_error(const absl::Status& error) override;
  void flush() override { stream_.flush(); }

 private:
  struct Choice {
    Delta gathered;      // not sent yet
    bool begun = false;  // its first text or token was sent
  };
  struct Waiting {
    std::variant<Delta, ChoiceEnd> what;
    Usage so_far;
  };
  struct Prompt {
    std::vector<TokenInfo> tokens;  // from position 1 on, under echo with logprobs
    bool shown = false;
    std::vector<Waiting> waiting;  // until it is shown
  };

  void begin(const Usage& so_far);
  void show(size_t prompt);
  void take(const Delta& delta, const Usage& so_far);
  void take_end(const ChoiceEnd& end, const Usage& so_far);
  void send_gathered(Choice& choice, const Usage& so_far);

  const std::vector<int32_t>& ids_of(int choice) const { return context_.prompts.ids[prompt_of(choice)]; }
  size_t prompt_of(int choice) const { return static_cast<size_t>(choice / context_.head.n); }
  bool echoes_logprobs() const { return context_.head.options.echo && context_.head.options.logprobs; }
  bool has_all_tokens(size_t prompt) const;

  const WriterContext context_;
  std::vector<Choice> choices_;
  std::vector<Prompt> prompts_;
  std::vector<text::TokenTexts> texts_;  // of each choice, under logprobs
  EventStream stream_;
  engine::RequestTimes times_;  // of all choices that have ended
  Usage at_begin_;              // no output token is counted
  bool begun_ = false;          // the chunks before the first token were made
};

}  // namespace polymath::api
