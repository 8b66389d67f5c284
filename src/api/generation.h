#pragma once

// One client's request in the engine. It submits all choices together and turns their tokens into text. Stop strings
// end a choice; a client that leaves cancels them all. The AnswerWriter knows the dialect.
//
//   auto generation = Generation::submit(context, std::move(plan), std::move(writer));  // a Status: nothing started
//   reply->on_gone([weak] { if (auto g = weak.lock()) g->cancel(); });
//
// The engine thread only appends to a queue; everything else happens on the OutputPool, one thread at a time.
// The choices' max_tokens bound the queue.

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "api/output/output_plan.h"
#include "api/output_pool.h"
#include "api/request/structure.h"
#include "api/served_model.h"
#include "base/metrics.h"
#include "base/status.h"
#include "engine/engine.h"
#include "text/detokenizer.h"

namespace polymath::api {

struct ThinkingBudget;

struct GenerationPlan {
  std::vector<std::vector<int32_t>> prompts;
  int n = 1;                        // choices of each prompt; choice = prompt * n + i
  engine::SamplingParams sampling;  // choice i of a prompt samples with seed + i
  std::vector<int> max_tokens;      // of each prompt
  std::vector<std::string> stop;
  bool include_stop = false;  // stop strings and stop ids stay in the text
  bool skip_special = true;
  OutputPlan output;         // which parts of the text are reasoning and tool calls
  bool drop_output = false;  // only the prompt is asked for (echo with max_tokens 0)
  std::string cache_salt;
  int64_t priority = 0;
  GrammarPtr grammar;                              // of each choice; null: any text
  int adapter = -1;                                // as engine::Request::adapter
  std::shared_ptr<engine::Place> place;            // in the queue, reserved before the request was read; null: none
  std::shared_ptr<const ThinkingBudget> thinking;  // of each choice; null: no limit
};

struct TokenInfo {
  int32_t id = 0;
  engine::TokenLogprob chosen;  // if logprobs were asked for
  std::vector<engine::TokenLogprob> top;
};

struct Delta {
  int choice = 0;
  std::string text;               // the content; empty: held back, or the token has no text
  text::OutputEvents events;      // content, reasoning and tool calls in order, where the plan parses them
  std::vector<TokenInfo> tokens;  // one; none where `text` was held back from earlier tokens
  bool last = false;              // no further token of the choice follows; its end does
};

struct ChoiceEnd {
  int choice = 0;
  std::string_view reason;         // "stop", "length", "abort" or "repetition"
  bool has_calls = false;          // the output has tool calls
  std::optional<int32_t> stop_id;  // the request's stop id that ended the choice
  std::string stop_string;         // the stop string that ended it; empty: none
  engine::RequestTimes times;
};

struct Usage {
  int prompt_tokens = 0;
  int completion_tokens = 0;
  int cached_tokens = 0;
  int reasoning_tokens = 0;  // of completion_tokens
};

// Formats the answer in a dialect. One thread at a time calls it. Deltas and ends of different choices interleave.
// Only flush() may follow on_done or on_error.
class AnswerWriter {
 public:
  virtual ~AnswerWriter() = default;
  // `choice`: the first of its prompt.
  virtual void on_prompt_token(int choice, int position, const TokenInfo& token) = 0;
  virtual void on_delta(const Delta& delta, const Usage& so_far) = 0;
  virtual void on_end(const ChoiceEnd& end, const Usage& so_far) = 0;
  virtual void on_done(const Usage& usage) = 0;
  virtual void on_error(const absl::Status& error) = 0;
  // Called after a group of the calls above: gathered output may be written. The group may be empty (api/ticker.h).
  virtual void flush() {}
};

class Generation : public OutputJob, public std::enable_shared_from_this<Generation> {
 public:
  struct Context {
    engine::Intake& engine;
    OutputPool& pool;
    const ServedModel& model;
    base::Histogram* longest_choice = nullptr;  // of each prompt, in tokens; null: not counted
  };
  static absl::StatusOr<std::shared_ptr<Generation>> submit(const Context& context, GenerationPlan plan,
                                                            std::unique_ptr<AnswerWriter> writer);
  void cancel();  // any thread
  void run() override;

 private:
  class Sink;
  enum class EventKind { kToken, kPromptToken, kFinish, kCount };
  struct Event {
    EventKind kind = EventKind::kToken;
    int choice = 0;
    int position = 0;
    TokenInfo token;
    engine::Finish finish;
  };
  struct Choice {
    engine::RequestId id = 0;
    int prompt = 0;
    int n_tokens = 0;
    bool stopped = false;  // by a stop string; later tokens are dropped
    bool finished = false;
    std::unique_ptr<text::Detokenizer> text;
    std::unique_ptr<text::OutputParser> parser;  // null: the text is the content
    int n_calls = 0;
    std::optional<TokenInfo> held;   // may be the stop id, whose text is dropped
    bool stop_strings_count = true;  // false: min_tokens is not reached yet
    std::vector<int32_t> early;      // ids generated before stop strings count
    std::string stop_string;
  };

  Generation(const Context& context, GenerationPlan plan, std::unique_ptr<AnswerWriter> writer);
  absl::Status submit_all();
  void push(Event event);
  void handle(Event& event);
  void take_token(int index, TokenInfo token);
  void emit_token(Choice& choice, int index, TokenInfo token, bool with_text);
  std::string detokenize(Choice& choice, int32_t id);
  bool parse(Choice& choice, Delta& delta, bool is_last);
  void finish_choice(int index, const engine::Finish& finish);
  bool nothing_was_generated() const;
  void fail(const absl::Status& error);
  void count_longest() const;
  bool may_stop_at(int32_t id) const;
  std::unique_ptr<text::Detokenizer> make_detokenizer(const Choice& choice, bool with_stop) const;

  const Context context_;
  const GenerationPlan plan_;
  std::unique_ptr<AnswerWriter> writer_;
  std::vector<Choice> choices_;
  Usage usage_;
  int open_ = 0;
  bool failed_ = false;

  std::mutex mutex_;
  std::vector<Event> events_;           // under mutex_
  std::vector<engine::RequestId> ids_;  // under mutex_
  bool armed_ = false;                  // under mutex_: all are submitted, events may be handled
};

}  // namespace polymath::api
