#include "api/openai/writers.h"

#include <utility>
#include <vector>

#include "api/handler.h"
#include "api/openai/error.h"
#include "api/openai/logprobs.h"
#include "base/clock.h"

namespace polymath::api {
namespace {

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
  StreamWriter(WriterContext context, int n_choices) : context_(std::move(context)), offsets_(n_choices) {}

  void on_prompt_token(int, int, const TokenInfo&) override {}  // parse_logprobs refuses them for streams
  void on_delta(const Delta& delta, const Usage& so_far) override {
    begin(so_far);
    const AnswerOptions& options = context_.head.options;
    const bool tokens_matter = (options.logprobs || options.return_token_ids) && !delta.tokens.empty();
    if (delta.text.empty() && !tokens_matter) return;
    event(delta_chunk(context_.head, delta, offsets_[delta.choice], &so_far));
    if (options.logprobs) offsets_[delta.choice] += count_characters(delta.text);
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
      if (closed_ || now - written_at_ < context_.silence_s_max) return;
      open();
      pending_ = ": keep-alive\n\n";
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
    for (size_t i = 0; i < offsets_.size(); ++i) {
      const int index = static_cast<int>(i);
      const std::vector<int32_t>& ids = context_.prompts.ids[i / static_cast<size_t>(head.n)];
      if (head.is_chat()) {
        event(role_chunk(head, index, ids, &so_far));
      } else if (head.options.echo || head.options.return_token_ids) {
        const std::string text = head.options.echo ? context_.prompts.texts[i / static_cast<size_t>(head.n)] : "";
        event(prompt_chunk(head, index, text, ids, &so_far));
        offsets_[i] = count_characters(text);
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

  const WriterContext context_;
  std::vector<int64_t> offsets_;  // characters of each choice that were sent
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
