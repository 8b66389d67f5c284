#include "engine/engine.h"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <mutex>
#include <new>
#include <thread>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/process/thread_start.h"
#include "engine/engine_loop.h"

namespace polymath::engine {

namespace {

// Requests that found the queue full. The reasons are vLLM's.
struct Refusals {
  Refusals(const EngineOptions& options, base::MetricsRegistry& registry) {
    const auto counter = [&](const char* reason) {
      base::Labels labels = metric_labels(options.model_name, options.metrics);
      labels.emplace_back("reason", reason);
      return &registry.counter("vllm:admission_rejections_total", "Requests that found the queue full, by its limit.",
                               std::move(labels));
    };
    requests = counter("max_num_queued_reqs");
    tokens = counter("max_num_queued_tokens");
    if (options.metrics.tgi) {
      overloaded = &registry.counter("tgi_request_failure", "Requests that failed, by what went wrong.",
                                     {{"err", "overloaded"}});
    }
  }
  void add(base::Counter& reason) const {
    reason.add();
    if (overloaded != nullptr) overloaded->add();
  }
  base::Counter *requests, *tokens;
  base::Counter* overloaded = nullptr;  // null: TGI's names are not asked for
};

// Of metrics that one engine alone has without the label `engine`.
base::Labels engine_labels(const EngineOptions& o) {
  if (o.metrics.n_engines == 1) return {{"model_name", o.model_name}};
  return metric_labels(o.model_name, o.metrics);
}

}  // namespace

// All after `mutex` is shared between threads and guarded by it. The rest belongs to the engine thread.
struct Engine::State {
  State(model::Model& model, const EngineOptions& o, base::MetricsRegistry& registry)
      : options(o),
        loop(model, o, registry),
        refusals(o, registry),
        admitted(registry.counter("polymath:admitted_requests_total",
                                  "Requests that the engine took. Each ends once, in vllm:request_success_total.",
                                  engine_labels(o))),
        idle_checks(registry.counter("polymath:idle_checks_total",
                                     "Times that the idle engine found every KV block and state accounted for.",
                                     engine_labels(o))),
        free_in_loop(o.sequences_max) {
    loop.on_end([this](const RunningRequest& request) { free_place(request); });
    inbox.reserve(o.waiting_max + o.sequences_max);
    arrived.reserve(o.waiting_max + o.sequences_max);
  }

  // Of `n` requests with so many prompt tokens together. REQUIRES: mutex.
  absl::Status may_submit(int n, int64_t prompt_tokens) const;
  int waiting(int n_new) const;  // with `n_new` more. REQUIRES: mutex
  bool work() const { return stopping || cancels || end_queued || !inbox.empty() || loop.busy(); }
  bool take();
  void check_at_rest();
  void rest(std::unique_lock<std::mutex>& lock);
  void run();
  void free_place(const RunningRequest& request);
  void let_go();
  void end_everything(FinishReason reason, const std::string& error);

  const EngineOptions options;
  EngineLoop loop;
  const Refusals refusals;
  base::Counter &admitted, &idle_checks;
  std::vector<std::unique_ptr<RunningRequest>> arrived;  // taken from the inbox

  std::mutex mutex;
  std::condition_variable wake;     // there is work
  std::condition_variable at_rest;  // `live` became empty
  std::vector<std::unique_ptr<RunningRequest>> inbox;
  absl::flat_hash_map<RequestId, RunningRequest*> live;  // submitted, and not ended
  RequestId next_id = 1;
  // After the last step: what no step has begun yet, and the free places. Requests that came since may still get one.
  int waiting_in_loop = 0, free_in_loop;
  int64_t waiting_tokens_in_loop = 0;  // of their prompts
  int fresh = 0;                       // submitted since the last step began
  int reserved = 0;                    // places
  int n_ending = 0;                    // not in `live` any more; their on_finish may not have returned
  int64_t fresh_tokens = 0, inbox_tokens = 0;
  bool started = false, stopping = false, draining = false, failed = false;
  bool cancels = false;     // a request is marked
  bool end_queued = false;  // a drain began
  EngineStats stats;
  void beat() {
    ++beats;
    beat_at = base::steady_seconds();
  }
  std::atomic<uint64_t> beats{0};
  std::atomic<double> beat_at{base::steady_seconds()};
  std::atomic<bool> in_step{false};
  std::atomic<bool> abandoned{false};  // the sinks are taken
  std::thread thread;
};

int Engine::State::waiting(int n_new) const {
  return waiting_in_loop + std::max(0, fresh + reserved + n_new - free_in_loop);
}

absl::Status Engine::State::may_submit(int n, int64_t prompt_tokens) const {
  if (failed) return absl::UnavailableError("the model failed; no more requests are taken");
  if (draining || stopping) return absl::UnavailableError("the server is shutting down");
  const int held_max = options.waiting_max + options.sequences_max;
  if (n > held_max) {
    return absl::InvalidArgumentError(absl::StrCat("the request asks for ", n, " answers, and the server holds ",
                                                   held_max, " (--max-num-seqs and --max-num-queued-reqs together)"));
  }
  if (waiting(n) > options.waiting_max || static_cast<int>(live.size()) + reserved + n > held_max) {
    refusals.add(*refusals.requests);
    return absl::ResourceExhaustedError(
        absl::StrCat("the queue is full: ", waiting(0), " requests are waiting (--max-num-queued-reqs)"));
  }
  // Prompts longer than the bound are taken into an empty queue: they would never be taken otherwise.
  const int64_t tokens = waiting_tokens_in_loop + fresh_tokens;
  if (options.waiting_tokens_max > 0 && waiting(0) > 0 && tokens + prompt_tokens > options.waiting_tokens_max) {
    refusals.add(*refusals.tokens);
    return absl::ResourceExhaustedError(
        absl::StrCat("the queue is full: ", tokens, " prompt tokens are waiting (--max-num-queued-tokens)"));
  }
  return absl::OkStatus();
}

// Waits for work, with a heartbeat. REQUIRES: `lock` holds mutex.
void Engine::State::rest(std::unique_lock<std::mutex>& lock) {
  const std::chrono::duration<double> pause(kBeatSeconds);
  while (!wake.wait_for(lock, pause, [this] { return work(); })) beat();
}

// Dies if a block or a state was lost or leaked: an idle engine has the time to look. Takes some milliseconds for a
// million blocks.
void Engine::State::check_at_rest() {
  try {
    loop.check_invariants();
    idle_checks.add();
  } catch (const std::bad_alloc&) {  // the check needs memory, and has none: the next rest checks again
  }
}

// Waits for work and takes it in. False: the engine is stopping. An idle thread ticks until all rates are zero. Then it
// sleeps.
bool Engine::State::take() {
  std::unique_lock lock(mutex);
  while (!work()) {
    beat();
    lock.unlock();
    const bool resting = !loop.tick();
    if (resting) check_at_rest();
    lock.lock();
    if (resting) {
      rest(lock);
    } else {
      wake.wait_for(lock, std::chrono::seconds(1), [this] { return work(); });
    }
  }
  if (stopping) return false;
  std::swap(inbox, arrived);
  inbox_tokens = 0;
  const bool marked = std::exchange(cancels, false);
  const bool drain = std::exchange(end_queued, false);
  lock.unlock();
  for (auto& request : arrived) loop.admit(std::move(request));
  arrived.clear();
  if (marked) loop.end_marked();
  if (drain) loop.end_queued();
  return true;
}

void Engine::State::run() {
  for (; take(); in_step = false, beat()) {
    beat();
    in_step = true;
    absl::Status status = loop.busy() ? loop.step() : absl::OkStatus();
    if (!status.ok()) {
      base::log_error("engine", "the model failed, every request in flight ends: ", std::string(status.message()));
      {
        const std::lock_guard lock(mutex);
        failed = true;
      }
      end_everything(FinishReason::kError, absl::StrCat("the model failed: ", status.message()));
    }
    if (abandoned) end_everything(FinishReason::kError, kStuckSentence);
    let_go();
  }
  end_everything(FinishReason::kCancelled, "");
}

// A place that is free goes to a request that waits, if there is one.
void Engine::State::free_place(const RunningRequest& request) {
  const std::lock_guard lock(mutex);
  live.erase(request.arrival);
  ++n_ending;
  if (waiting_in_loop > 0) {
    --waiting_in_loop;
  } else {
    ++free_in_loop;
  }
}

// Forgets ended requests under the lock and destroys them outside of it.
void Engine::State::let_go() {
  auto& ended = loop.ended();
  {
    const std::lock_guard lock(mutex);
    const int starting = std::min(loop.n_waiting(), std::exchange(n_ending, 0));  // they take the freed places
    waiting_in_loop = loop.n_waiting() - starting;
    waiting_tokens_in_loop = loop.n_waiting_tokens();
    stats = loop.stats();
    free_in_loop = waiting_in_loop > 0 ? 0 : std::max(0, options.sequences_max - stats.running - starting);
    fresh = static_cast<int>(inbox.size());
    fresh_tokens = inbox_tokens;
    if (live.empty()) at_rest.notify_all();
  }
  ended.clear();
}

// Ends the requests in the inbox, too. REQUIRES: failed, stopping, or not started, so that no more can arrive.
void Engine::State::end_everything(FinishReason reason, const std::string& error) {
  {
    const std::lock_guard lock(mutex);
    std::swap(inbox, arrived);
    inbox_tokens = 0;
  }
  loop.end_all(reason, error);
  for (auto& request : arrived) loop.admit(std::move(request));
  arrived.clear();
  loop.end_all(reason, error);
  let_go();
}

Engine::Engine(model::Model& model, EngineOptions options, base::MetricsRegistry& metrics)
    : state_(std::make_unique<State>(model, options, metrics)) {
  CHECK(check_options(options, model).ok());
}

Engine::~Engine() {
  {
    const std::lock_guard lock(state_->mutex);
    state_->stopping = true;
    state_->wake.notify_all();
  }
  if (state_->thread.joinable()) {
    state_->thread.join();
  } else {
    state_->end_everything(FinishReason::kCancelled, "");
  }
}

void Engine::start() {
  const std::lock_guard lock(state_->mutex);
  CHECK(!state_->started);
  state_->started = true;
  state_->thread = base::start_thread("engine", [state = state_.get()] { state->run(); });
}

class Engine::QueuePlace : public Place {
 public:
  explicit QueuePlace(State& state) : state_(state) {}
  ~QueuePlace() override {
    const std::lock_guard lock(state_.mutex);
    leave();
  }
  QueuePlace(const QueuePlace&) = delete;
  QueuePlace& operator=(const QueuePlace&) = delete;

  void leave() {  // REQUIRES: mutex
    if (!std::exchange(left_, true)) --state_.reserved;
  }

 private:
  State& state_;
  bool left_ = false;  // guarded by the mutex
};

absl::StatusOr<std::vector<RequestId>> Engine::submit(std::vector<Request> requests, Place* place) {
  State& s = *state_;
  const int n = static_cast<int>(requests.size());
  int64_t prompt_tokens = 0;
  for (const Request& request : requests) {
    RETURN_IF_ERROR(s.loop.check(request));
    prompt_tokens += static_cast<int64_t>(request.prompt.size());
  }
  std::vector<RequestId> ids(requests.size());
  {
    const std::lock_guard lock(s.mutex);
    if (place != nullptr) static_cast<QueuePlace*>(place)->leave();
    RETURN_IF_ERROR(s.may_submit(n, prompt_tokens));  // before the work of hashing the prompts
    s.reserved += n;
    for (RequestId& id : ids) id = s.next_id++;
  }
  std::vector<std::unique_ptr<RunningRequest>> running;
  for (size_t i = 0; i < ids.size(); ++i) running.push_back(s.loop.make_request(std::move(requests[i]), ids[i]));
  const std::lock_guard lock(s.mutex);
  s.reserved -= n;
  RETURN_IF_ERROR(s.may_submit(n, prompt_tokens));
  s.fresh += n;
  s.fresh_tokens += prompt_tokens;
  s.inbox_tokens += prompt_tokens;
  s.admitted.add(n);
  for (auto& request : running) {
    s.live.emplace(request->arrival, request.get());
    s.inbox.push_back(std::move(request));
  }
  s.wake.notify_one();
  return ids;
}

absl::StatusOr<std::shared_ptr<Place>> Engine::reserve() {
  {
    const std::lock_guard lock(state_->mutex);
    RETURN_IF_ERROR(state_->may_submit(1, 0));
    ++state_->reserved;
  }
  return std::make_shared<QueuePlace>(*state_);
}

void Engine::cancel(RequestId id, bool as_stop) {
  State& s = *state_;
  const std::lock_guard lock(s.mutex);
  const auto at = s.live.find(id);
  if (at == s.live.end()) return;
  at->second->mark.store(as_stop ? CancelMark::kStop : CancelMark::kCancel, std::memory_order_relaxed);
  s.cancels = true;
  s.wake.notify_one();
}

void Engine::drain(double seconds) {
  State& s = *state_;
  std::unique_lock lock(s.mutex);
  s.draining = true;
  if (!s.started) {
    lock.unlock();
    return s.end_everything(FinishReason::kCancelled, "");
  }
  s.end_queued = true;
  s.wake.notify_one();
  const auto empty = [&s] { return s.live.empty() && s.n_ending == 0; };
  if (s.at_rest.wait_for(lock, std::chrono::duration<double>(seconds), empty)) return;
  base::log_warning("engine", s.live.size(), " requests were still running after ", seconds, " s, and are cancelled");
  for (auto& [id, request] : s.live) request->mark.store(CancelMark::kCancel, std::memory_order_relaxed);
  s.cancels = true;
  s.wake.notify_one();
  s.at_rest.wait(lock, empty);
}

void Engine::fail_at_step(uint64_t step) {
  const std::lock_guard lock(state_->mutex);
  CHECK(!state_->started);
  state_->loop.fail_at(step);
}

void Engine::stall_at_step(uint64_t step) {
  const std::lock_guard lock(state_->mutex);
  CHECK(!state_->started);
  state_->loop.stall_at(step);
}

uint64_t Engine::beats() const { return state_->beats; }

bool Engine::responds() const {
  return state_->in_step || base::steady_seconds() - state_->beat_at < kSilentSecondsMax;
}

// Requests are in memory while they are in `live` and the mutex is held. The sinks are called without it, because they
// may call the engine.
void Engine::abandon() {
  State& s = *state_;
  std::vector<std::shared_ptr<TokenSink>> sinks;
  {
    const std::lock_guard lock(s.mutex);
    s.failed = true;
    s.abandoned = true;
    for (auto& [id, request] : s.live) {
      if (auto sink = request->sink.take()) sinks.push_back(std::move(sink));
    }
  }
  for (const auto& sink : sinks) sink->on_finish({.reason = FinishReason::kError, .error = kStuckSentence});
}

bool Engine::healthy() const {
  const std::lock_guard lock(state_->mutex);
  return !state_->failed;
}

EngineStats Engine::stats() const {
  const std::lock_guard lock(state_->mutex);
  EngineStats stats = state_->stats;
  stats.waiting += static_cast<int>(state_->inbox.size());
  stats.live = static_cast<int>(state_->live.size());
  return stats;
}

std::vector<ExpertTokens> Engine::expert_tokens() const { return state_->loop.expert_tokens(); }

}  // namespace polymath::engine
