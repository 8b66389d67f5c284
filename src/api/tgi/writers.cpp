#include "api/tgi/writers.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "api/collecting_writer.h"
#include "api/event_stream.h"
#include "api/handler.h"
#include "api/request/best_of.h"
#include "api/tgi/error.h"
#include "base/clock.h"

namespace polymath::api {
namespace {

bool was_cut_off(const ChoiceEnd& end) {
  return end.reason == engine::finish_reason_name(engine::FinishReason::kCancelled);
}

std::string milliseconds(double seconds) {
  return absl::StrCat(static_cast<int64_t>(std::floor(std::max(0.0, seconds) * 1000)));
}

// What is known before the first token.
server::HttpHeaders first_headers(const TgiWriterContext& context) {
  return {{"x-compute-type", context.device}, {"x-compute-characters", absl::StrCat(context.characters)}};
}

// Validation ends where the engine takes the request; the queue, where the engine first plans it.
server::HttpHeaders time_headers(const TgiWriterContext& context, const CollectedChoice& choice) {
  const engine::RequestTimes& times = choice.end.times;
  const double now = base::steady_seconds(), inference = now - times.started;
  const auto n_tokens = static_cast<double>(std::max<size_t>(1, choice.tokens.size()));
  server::HttpHeaders headers = first_headers(context);
  headers.emplace_back("x-compute-time", absl::StrFormat("%.6f", now - context.arrived));
  headers.emplace_back("x-total-time", milliseconds(now - context.arrived));
  headers.emplace_back("x-validation-time", milliseconds(times.arrived - context.arrived));
  headers.emplace_back("x-queue-time", milliseconds(times.started - times.arrived));
  headers.emplace_back("x-inference-time", milliseconds(inference));
  headers.emplace_back("x-time-per-token", milliseconds(inference / n_tokens));
  headers.emplace_back("x-prompt-tokens", absl::StrCat(context.answer.prompt.size()));
  headers.emplace_back("x-generated-tokens", absl::StrCat(choice.tokens.size()));
  return headers;
}

class Collector : public CollectingWriter {
 public:
  Collector(int n_choices, TgiDone done) : CollectingWriter(n_choices), done_(std::move(done)) {}

  void on_error(const absl::Status& error) override { done_(error); }

 private:
  void answer(std::vector<CollectedChoice> choices, const Usage&) override {
    if (std::any_of(choices.begin(), choices.end(), [](const CollectedChoice& c) { return was_cut_off(c.end); })) {
      return done_(absl::AbortedError(kShuttingDown));
    }
    if (choices.size() > 1) put_best_first(choices);
    done_(std::move(choices));
  }

  const TgiDone done_;
};

void send_whole(const TgiWriterContext& context, const absl::StatusOr<std::vector<CollectedChoice>>& choices) {
  if (!choices.ok()) return send_error(*context.reply, tgi_error, choices.status(), context.request_id);
  base::JsonObject body = tgi_answer(context.answer, context.model, *choices);
  std::string text =
      context.shape == TgiShape::kArray ? base::to_text(base::JsonArray{std::move(body)}) : base::to_text(body);
  send_json(*context.reply, std::move(text), context.request_id, time_headers(context, choices->front()));
}

// An event a token. The last token waits for the choice's end, which its event has, too.
class TgiStream : public AnswerWriter {
 public:
  explicit TgiStream(TgiWriterContext context)
      : context_(std::move(context)),
        texts_(tgi_token_texts(context_.answer, context_.model)),
        stream_(context_.reply, stream_headers(context_), "data:", context_.silence_s_max) {}

  void on_prompt_token(int, int, const TokenInfo&) override {}

  void on_delta(const Delta& delta, const Usage&) override {
    text_ += delta.text;
    if (delta.tokens.empty()) return;
    if (last_.has_value()) event(nullptr);
    last_ = delta.tokens.front();
    if (!delta.last) event(nullptr);
  }

  void on_end(const ChoiceEnd& end, const Usage&) override {
    if (!last_.has_value() || was_cut_off(end)) return;
    const TgiStreamEnd answer{end, text_};
    event(&answer);
    complete_ = true;
  }

  void on_done(const Usage&) override {
    if (!complete_) stream_.event(tgi_incomplete_stream().body);
    stream_.close();
  }

  void on_error(const absl::Status& error) override {
    if (!stream_.is_open()) return send_error(*context_.reply, tgi_error, error, context_.request_id);
    stream_.event(tgi_error(failure_of(error)).body);
    stream_.close();
  }

  void flush() override { stream_.flush(); }

 private:
  static server::HttpHeaders stream_headers(const TgiWriterContext& context) {
    server::HttpHeaders headers = first_headers(context);
    headers.emplace_back("X-Request-Id", context.request_id);
    return headers;
  }

  void event(const TgiStreamEnd* end) {
    ++n_tokens_;
    stream_.event(base::to_text(tgi_event(context_.answer, context_.model, texts_, {n_tokens_, *last_, end})));
    last_.reset();
  }

  const TgiWriterContext context_;
  text::TokenTexts texts_;
  EventStream stream_;
  std::string text_;               // of the whole answer
  std::optional<TokenInfo> last_;  // not sent yet
  int n_tokens_ = 0;               // sent
  bool complete_ = false;          // the last event was sent
};

}  // namespace

std::unique_ptr<AnswerWriter> make_tgi_collector(int n_choices, TgiDone done) {
  return std::make_unique<Collector>(n_choices, std::move(done));
}

std::unique_ptr<AnswerWriter> make_tgi_writer(TgiWriterContext context, int n_choices, bool stream) {
  if (stream) return std::make_unique<TgiStream>(std::move(context));
  return make_tgi_collector(n_choices,
                            [context = std::move(context)](const auto& choices) { send_whole(context, choices); });
}

}  // namespace polymath::api
