#include "commands/load/runner.h"

#include <algorithm>
#include <cstdio>
#include <utility>

#include "base/clock.h"

namespace polymath::commands::load {
namespace {

constexpr double kIdleWaitSeconds = 0.5;
constexpr double kProgressSeconds = 10;  // between the lines on stderr

}  // namespace

Runner::Runner(http::HttpClient& client, const http::Target& target, const RunnerOptions& options,
               const WorkloadOptions& workload)
    : client_(client), target_(target), options_(options), workload_(workload) {}

double Runner::now() const { return base::steady_seconds() - epoch_; }

bool Runner::may_start() const { return !client_.full() && client_.in_flight() < options_.concurrency_max; }

absl::StatusOr<RunResult> Runner::run(const std::vector<double>& due, const std::vector<TraceRow>& trace) {
  epoch_ = base::steady_seconds();
  double progress_at = kProgressSeconds;
  while (next_ < workload_.conversations || !followers_.empty() || client_.in_flight() > 0) {
    start_due(due, trace);
    double wait = kIdleWaitSeconds;
    const bool arrivals = options_.open_loop && next_ < workload_.conversations && may_start();
    if (arrivals) wait = std::min(wait, due[static_cast<size_t>(next_)] - now());
    RETURN_IF_ERROR(client_.poll(std::max(0.0, wait)));
    done_.clear();
    if (now() < progress_at) continue;
    progress_at += kProgressSeconds;
    std::fprintf(stderr, "%.0f s: %zu answers of %lld, %d in flight\n", now(), result_.records.size(),
                 static_cast<long long>(workload_.conversations) * workload_.turns, client_.in_flight());
  }
  for (const Record& record : result_.records) result_.seconds = std::max(result_.seconds, record.end);
  return std::move(result_);
}

void Runner::start_due(const std::vector<double>& due, const std::vector<TraceRow>& trace) {
  while (!followers_.empty() && may_start()) {
    const NextTurn turn = followers_.front();
    followers_.pop_front();
    ask(turn.conversation, turn.due);
  }
  while (next_ < workload_.conversations && may_start()) {
    const size_t i = static_cast<size_t>(next_);
    const double at = options_.open_loop ? due[i] : now();
    if (at > now()) return;
    open_[next_] = std::make_unique<Conversation>(workload_, next_, trace.empty() ? nullptr : &trace[i]);
    ask(next_++, at);
  }
}

void Runner::ask(int index, double due) {
  Conversation& conversation = *open_[index];
  conversation.ask();
  auto reader = std::make_unique<AnswerReader>(*options_.dialect, epoch_, conversation.has_next());
  reader->conversation = index;
  reader->on_done = [this](AnswerReader& done) { on_done(done); };
  const Ask ask{options_.ask, workload_.form, conversation.prompt(), conversation.output_len()};
  std::string bytes = http::request_bytes(target_, options_.path, base::to_text(options_.dialect->body(ask)));
  reader->record.prompt_asked = conversation.prompt_len();
  reader->record.output_asked = conversation.output_len();
  reader->record.sent = now();
  reader->record.due = options_.open_loop ? due : reader->record.sent;
  AnswerReader& handler = *reader;
  readers_[&handler] = std::move(reader);
  client_.send(std::move(bytes), handler);
}

void Runner::on_done(AnswerReader& reader) {
  const int index = reader.conversation;
  Conversation& conversation = *open_[index];
  conversation.answer(reader.text(), reader.ids());
  // A conversation ends with its first failure: a next turn would go on from no answer.
  const bool goes_on = reader.record.completed() && conversation.has_next();
  if (goes_on) {
    followers_.push_back({index, reader.record.end});
  } else {
    open_.erase(index);
  }
  result_.records.push_back(std::move(reader.record));
  auto done = readers_.extract(&reader);
  done_.push_back(std::move(done.mapped()));
}

}  // namespace polymath::commands::load
