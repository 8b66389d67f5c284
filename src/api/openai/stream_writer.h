#pragma once

// An OpenAI answer as a stream of chunks, in the order of events.
//
// The status line waits for the first chunk, at most silence_s_max. Until then a failure can still be an error status.
// Under echo with logprobs a prompt's choices wait for its logprobs, which the prompt's first choice brings.

#include <string>
#include <variant>
#include <vector>

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
  void flush() override;

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

  void open();
  void begin(const Usage& so_far);
  void show(size_t prompt);
  void take(const Delta& delta, const Usage& so_far);
  void take_end(const ChoiceEnd& end, const Usage& so_far);
  void send_gathered(Choice& choice, const Usage& so_far);
  void event(std::string_view data);
  void close();

  const std::vector<int32_t>& ids_of(int choice) const { return context_.prompts.ids[prompt_of(choice)]; }
  size_t prompt_of(int choice) const { return static_cast<size_t>(choice / context_.head.n); }
  bool echoes_logprobs() const { return context_.head.options.echo && context_.head.options.logprobs; }
  bool has_all_tokens(size_t prompt) const;

  const WriterContext context_;
  std::vector<Choice> choices_;
  std::vector<Prompt> prompts_;
  std::vector<text::TokenTexts> texts_;  // of each choice, under logprobs
  std::string pending_;
  engine::RequestTimes times_;  // of all choices that have ended
  Usage at_begin_;              // no output token is counted
  double written_at_;
  bool open_ = false;   // the status line was sent
  bool begun_ = false;  // the chunks before the first token were made
  bool closed_ = false;
};

}  // namespace polymath::api
