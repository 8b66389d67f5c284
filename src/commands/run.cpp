// polymath run MODEL [--prompt TEXT]: one answer, or a chat, on the terminal.

#include <unistd.h>

#include <atomic>
#include <condition_variable>
#include <csignal>
#include <cstdio>
#include <iostream>
#include <mutex>
#include <optional>
#include <vector>

#include "absl/strings/str_format.h"
#include "api/chat/chat_prompt.h"
#include "api/sampling_fields.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/log.h"
#include "commands/flags/flags.h"
#include "commands/runtime.h"
#include "commands/served.h"
#include "commands/verbs.h"
#include "text/detokenizer.h"

namespace polymath::commands {
namespace {

std::atomic<bool> g_interrupted{false};
static_assert(std::atomic<bool>::is_always_lock_free);

void on_interrupt(int) { g_interrupted = true; }

// Queue of tokens from the engine thread to the terminal. The answer's max_tokens bounds it.
class TerminalSink : public engine::TokenSink {
 public:
  void on_token(const engine::TokenOutput& token) override {
    const std::lock_guard lock(mutex_);
    ids_.push_back(token.id);
    last_ = base::steady_seconds();
    if (first_ == 0) first_ = last_;
    wake_.notify_one();
  }
  void on_finish(const engine::Finish& finish) override {
    const std::lock_guard lock(mutex_);
    finish_ = finish;
    wake_.notify_one();
  }

  // Takes the waiting ids; none after a timeout. False: the answer has ended and all were taken.
  bool take(std::vector<int32_t>& ids) {
    std::unique_lock lock(mutex_);
    wake_.wait_for(lock, std::chrono::milliseconds(50), [this] { return !ids_.empty() || finish_.has_value(); });
    ids.clear();
    ids.swap(ids_);
    return !ids.empty() || !finish_.has_value();
  }
  // REQUIRES: take() was false.
  const engine::Finish& finish() const { return *finish_; }
  double first() const { return first_; }  // when the first token came; 0: none
  double last() const { return last_; }

 private:
  std::mutex mutex_;
  std::condition_variable wake_;
  std::vector<int32_t> ids_;
  std::optional<engine::Finish> finish_;
  double first_ = 0, last_ = 0;
};

struct Session {
  const RunOptions& options;
  Runtime& runtime;
  const api::ServedModel& model;
};

engine::SamplingParams sampling_of(const Session& session, int room) {
  const RunOptions& s = session.options;
  engine::SamplingParams sampling = api::default_sampling(session.model);
  if (s.temperature.has_value()) sampling.temperature = static_cast<float>(*s.temperature);
  if (s.top_p.has_value()) sampling.top_p = static_cast<float>(*s.top_p);
  sampling.top_k = s.top_k.value_or(sampling.top_k);
  sampling.max_tokens = std::min(s.max_tokens.value_or(room), room);
  if (s.seed.has_value()) {
    sampling.seed = *s.seed;
  } else {
    base::random_bytes(&sampling.seed, sizeof(sampling.seed));
  }
  return sampling;
}

void print(const std::string& text) {
  std::fwrite(text.data(), 1, text.size(), stdout);
  std::fflush(stdout);
}

void print_speed(const TerminalSink& sink, double begin) {
  const engine::Finish& finish = sink.finish();
  const double decode = sink.last() - sink.first();
  const int n = finish.output_tokens;
  std::fprintf(stderr, "\n[%d prompt tokens (%d cached), first token after %.3f s, %d tokens at %.1f tok/s, %s]\n",
               finish.prompt_tokens, finish.cached_tokens, std::max(0.0, sink.first() - begin), n,
               n > 1 && decode > 0 ? static_cast<double>(n - 1) / decode : 0.0,
               engine::finish_reason_name(finish.reason));
}

// Streams the answer; Ctrl-C ends it. Returns its text.
absl::StatusOr<std::string> answer(const Session& session, const std::string& prompt_text, bool add_special) {
  const std::vector<int32_t> prompt = session.model.tokenizer->encode(prompt_text, add_special);
  const int room = session.runtime.model_len_max() - static_cast<int>(prompt.size());
  if (prompt.empty()) return absl::InvalidArgumentError("the prompt is empty");
  if (room < 1) return absl::InvalidArgumentError(absl::StrCat("the prompt of ", prompt.size(), " tokens is too long"));
  auto sink = std::make_shared<TerminalSink>();
  engine::Request request{.prompt = prompt, .sampling = sampling_of(session, room), .sink = sink};
  text::Detokenizer text(*session.model.tokenizer, prompt, {});
  g_interrupted = false;
  const double begin = base::steady_seconds();
  ASSIGN_OR_RETURN(const engine::RequestId id, session.runtime.engine().submit(std::move(request)));
  std::string whole;
  const auto& eos = session.model.eos_ids;
  for (std::vector<int32_t> ids; sink->take(ids);) {
    if (g_interrupted.exchange(false)) session.runtime.engine().cancel(id);
    for (const int32_t token : ids) {
      if (std::find(eos.begin(), eos.end(), token) != eos.end()) continue;
      const std::string delta = text.push(token);
      print(delta);
      whole += delta;
    }
  }
  const std::string rest = text.finish();
  print(rest);
  print_speed(*sink, begin);
  if (sink->finish().reason == engine::FinishReason::kError) return absl::InternalError(sink->finish().error);
  return whole + rest;
}

base::JsonObject message(const char* role, const std::string& content) {
  return {{"role", role}, {"content", boost::json::string(content)}};
}

absl::StatusOr<std::string> answer_chat(const Session& session, const api::ChatPrompt& chat) {
  ASSIGN_OR_RETURN(const text::RenderedChat rendered, api::render_chat(session.model, chat));
  return answer(session, rendered.text, false);
}

absl::Status answer_once(const Session& session) {
  if (session.model.chat_templates.empty()) return answer(session, *session.options.prompt, true).status();
  api::ChatPrompt chat;
  if (!session.options.system.empty()) chat.messages.push_back(message("system", session.options.system));
  chat.messages.push_back(message("user", *session.options.prompt));
  return answer_chat(session, chat).status();
}

// Lines from stdin until its end, or Ctrl-C at the prompt. The history grows until the context is full.
absl::Status chat_on_terminal(const Session& session) {
  if (session.model.chat_templates.empty()) {
    return absl::FailedPreconditionError(
        "the model has no chat template; --prompt completes a text, --chat-template gives it one");
  }
  const bool terminal = isatty(STDIN_FILENO) == 1;
  api::ChatPrompt chat;
  if (!session.options.system.empty()) chat.messages.push_back(message("system", session.options.system));
  std::string line;
  while (true) {
    if (terminal) std::fputs("> ", stderr);
    if (!std::getline(std::cin, line)) break;
    if (line.empty()) continue;
    chat.messages.push_back(message("user", line));
    auto text = answer_chat(session, chat);
    if (!text.ok()) {
      std::fprintf(stderr, "%s\n", std::string(text.status().message()).c_str());
      chat.messages.pop_back();
      continue;
    }
    chat.messages.push_back(message("assistant", *text));
  }
  return absl::OkStatus();
}

absl::Status run_model(const Options& options) {
  base::MetricsRegistry metrics;
  if (options.runtime.replicas > 1) {
    return absl::UnimplementedError("--data-parallel-size: only `serve` runs replicas");
  }
  ASSIGN_OR_RETURN(const Served served, build_served(options, metrics));
  served.runtime->engine().start();
  // Without SA_RESTART, so that Ctrl-C also ends the wait for a line.
  struct sigaction action = {};
  action.sa_handler = on_interrupt;
  sigaction(SIGINT, &action, nullptr);
  const Session session{options.run, *served.runtime, served.model};
  return options.run.prompt.has_value() ? answer_once(session) : chat_on_terminal(session);
}

}  // namespace

int run(const Arguments& arguments) {
  base::set_log_level("warning");  // log lines would interrupt the answer; --log-level turns them on
  auto options = parse_flags(kRun, arguments);
  if (!options.ok()) return fail_flags(options.status());
  options->runtime.sequences = 1;  // one conversation
  for (const std::string& warning : options->warnings) base::log_warning("run", warning);
  const absl::Status status = run_model(*options);
  return status.ok() ? 0 : fail(status);
}

}  // namespace polymath::commands
