#include "api/openai/writers.h"

#include <utility>
#include <vector>

#include "api/handler.h"
#include "api/openai/error.h"
#include "api/openai/logprobs.h"
#include "base/clock.h"

namespace polymath::api {
namespace {

// A comment alone. A blank line behind it would end an event, and some parsers deliver the empty one.
constexpr std::string_view kKeepAlive = ": keep-alive\n";

class WholeWriter : public CollectingWriter {
 public:
  WholeWriter(WriterContext context, int n_choices) : CollectingWriter(n_choices), context_(std::move(context)) {}

  void on_error(const absl::Status& error) override {
    send_error(*context_.reply, openai_error, error, context_.request_id);
  }

 private:
  void answer(const std::vector<CollectedChoice>& choices, const Usage& usage) override {
    send_json(*context_.reply, full_answer(context_.head, context_.prompts, choices, usage), context_.request_id);
  }

  const WriterContext context_;
};

// Sends chunks in the order of events. The status line waits for the first chunk, at most silence_s_max. Until then a
// failure can still be an error status.
class StreamWriter : public AnswerWriter {
 public:
  StreamWriter(WriterContext context, int n_choices) : context_(std::move(context)), n_choices_(n_choices) {
    if (!context_.head.options.logprobs) return;
    for (int choice = 0; choice < n_choices; ++choice) {
      texts_.emplace_back(context_.head.model->tokenizer.get(), prompt_of(choice), context_.head.skip_special);
    }
  }

  void on_prompt_token(int, int, const TokenInfo&) override {}  // parse_logprobs refuses them for streams
  void on_delta(const Delta& delta, const Usage& so_far) override {
    begin(so_far);
    const AnswerOptions& options = context_.head.options;
    const bool tokens_matter = (options.logprobs || options.return_token_ids) && !delta.tokens.empty();
    if (delta.text.empty() && !tokens_matter) return;
    text::TokenTexts* const texts = options.logprobs ? &texts_[static_cast<size_t>(delta.choice)] : nullptr;
    event(delta_chunk(context_.head, delta, texts, &so_far));
  }
  void on_end(const ChoiceEnd& end, const Usage& so_far) override {
    begin(so_far);
    event(end_chunk(context_.head, end, &so_far));
  }
  void on_done(const Usage& usage) override {
    if (context_.head.options.include_usage) event(usage_chunk(context_.head, usage));
    event("[DONE]");
    close();
  }
  void on_error(const absl::Status& error) override {
    if (!open_) return send_error(*context_.reply, openai_error, error, context_.request_id);
    event(openai_error(failure_of(error)).body);
    event("[DONE]");
    close();
  }
  void flush() override {
    const double now = base::steady_seconds();
    if (pending_.empty()) {
      if (closed_ || context_.silence_s_max == 0 || now - written_at_ < context_.silence_s_max) return;
      open();
      pending_ = kKeepAlive;
    }
    written_at_ = now;
    context_.reply->write(std::exchange(pending_, {}));
  }

 private:
  void open() {
    if (open_) return;
    open_ = true;
    context_.reply->start_stream(200, "text/event-stream; charset=utf-8", {{"X-Request-Id", context_.request_id}});
  }
  void begin(Usage so_far) {
    if (begun_) return;
    begun_ = true;
    so_far.completion_tokens = 0;  // `so_far` may count the first token already
    open();
    const AnswerHead& head = context_.head;
    for (int index = 0; index < n_choices_; ++index) {
      const std::vector<int32_t>& ids = prompt_of(index);
      if (head.is_chat()) {
        event(role_chunk(head, index, ids, &so_far));
      } else if (head.options.echo || head.options.return_token_ids) {
        const std::string text = head.options.echo ? context_.prompts.texts[static_cast<size_t>(index / head.n)] : "";
        event(prompt_chunk(head, index, text, ids, &so_far));
      }
    }
  }
  void event(std::string_view data) {
    pending_ += "data: ";
    pending_ += data;
    pending_ += "\n\n";
  }
  void close() {
    flush();
    closed_ = true;
    context_.reply->end();
  }

  const std::vector<int32_t>& prompt_of(int choice) const {
    return context_.prompts.ids[static_cast<size_t>(choice / context_.head.n)];
  }

  const WriterContext context_;
  const int n_choices_;
  std::vector<text::TokenTexts> texts_;  // of each choice, under logprobs
  std::string pending_;
  double written_at_ = base::steady_seconds();
  bool open_ = false;   // the status line was sent
  bool begun_ = false;  // the chunks before the first token were made
  bool closed_ = false;
};

}  // namespace

std::unique_ptr<AnswerWriter> make_writer(WriterContext context, int n_choices) {
  if (context.head.options.stream) return std::make_unique<StreamWriter>(std::move(context), n_choices);
  return std::make_unique<WholeWriter>(std::move(context), n_choices);
}

}  // namespace polymath::api
