#include "commands/process/supervisor.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>
#include <ctime>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/process/fatal.h"
#include "base/process/thread_dump.h"
#include "base/process/thread_start.h"

namespace polymath::commands {
namespace {

constexpr double kTick = 0.1;          // seconds between two looks
constexpr double kCountedMax = 0.5;    // of the time between two looks: a process that was paused was not stuck
constexpr double kAbandonSeconds = 1;  // that ending the requests may take
constexpr double kRepliesSeconds = 1;  // for their replies to reach the clients
constexpr int kSignals[] = {SIGTERM, SIGINT, SIGHUP};

sigset_t signals_to_take() {
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : kSignals) {
    struct sigaction action {};
    sigaction(signal, nullptr, &action);
    if (signal == SIGHUP && action.sa_handler == SIG_IGN) continue;
    sigaddset(&set, signal);
  }
  return set;
}

void log_threads() {
  for (const std::string& line : base::describe_threads()) base::log_error("serve", "thread ", line);
}

}  // namespace

Supervisor::Supervisor() : signals_(signals_to_take()) {
  pthread_sigmask(SIG_BLOCK, &signals_, nullptr);
  base::prepare_thread_dump();
  thread_ = base::start_thread("supervisor", [this] { work(); });
}

Supervisor::~Supervisor() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  thread_.join();
}

void Supervisor::set_deadline(double seconds, std::string sentence) {
  deadline_ = {base::steady_seconds() + seconds, std::move(sentence)};
}

void Supervisor::loading(double timeout_s) {
  const std::lock_guard lock(mutex_);
  if (timeout_s <= 0) return;
  set_deadline(timeout_s, absl::StrCat("not ready ", timeout_s, " s after the start (--startup-timeout)"));
}

Supervisor::Watch Supervisor::serve(const std::vector<engine::Engine*>& engines, const ServeLimits& limits) {
  {
    const std::lock_guard lock(mutex_);
    serving_ = true;
    limits_ = limits;
    deadline_ = {};
  }
  const std::lock_guard lock(engine_mutex_);
  for (engine::Engine* engine : engines) engines_.push_back({engine, engine->beats()});
  return Watch(*this);
}

void Supervisor::forget_engines() {
  const std::lock_guard lock(engine_mutex_);
  engines_.clear();
}

int Supervisor::wait(double seconds) {
  std::unique_lock lock(mutex_);
  changed_.wait_for(lock, std::chrono::duration<double>(seconds), [this] { return signal_ != 0; });
  return signal_;
}

void Supervisor::end_within(double seconds) {
  const std::lock_guard lock(mutex_);
  set_deadline(seconds, absl::StrCat("not ended after ", seconds, " s"));
}

void Supervisor::work() {
  double before = base::steady_seconds();
  while (true) {
    const timespec pause{0, static_cast<long>(kTick * 1e9)};
    const int signal = sigtimedwait(&signals_, nullptr, &pause);
    {
      const std::lock_guard lock(mutex_);
      if (stop_) return;
      if (signal > 0) take_signal(signal);
      check_deadline();
    }
    const double now = base::steady_seconds();
    check_engines(std::min(now - std::exchange(before, now), kCountedMax));
  }
}

// REQUIRES: mutex_.
void Supervisor::take_signal(int signal) {
  const std::string name = absl::StrCat("SIG", sigabbrev_np(signal));
  if (!serving_ || signal_ != 0) {
    base::log_warning("serve", name, serving_ ? " again" : " while loading", ": ending at once");
    base::end_process(128 + signal);
  }
  signal_ = signal;
  base::log_info("serve", name, ": stopping");
  set_deadline(limits_.drain_seconds,
               absl::StrCat("not ended ", limits_.drain_seconds, " s after the signal (--shutdown-timeout and some)"));
  changed_.notify_all();
}

// REQUIRES: mutex_.
void Supervisor::check_deadline() {
  if (deadline_.at == 0 || base::steady_seconds() < deadline_.at) return;
  log_threads();
  base::fatal("serve", absl::StrCat(deadline_.sentence, ": ending at once"));
}

void Supervisor::check_engines(double elapsed) {
  const std::lock_guard lock(engine_mutex_);
  if (limits_.step_timeout_s <= 0) return;
  for (Watched& watched : engines_) {
    const uint64_t beats = watched.engine->beats();
    watched.rested_for = beats == std::exchange(watched.beats, beats) ? watched.rested_for + elapsed : 0;
    if (watched.rested_for >= limits_.step_timeout_s) end_stuck();
  }
}

// Ends the process where an engine's thread is stuck. Requests end on a thread of their own, which may get stuck, too.
// REQUIRES: engine_mutex_.
void Supervisor::end_stuck() {
  base::log_error("serve", "the engine thread is stuck: no step began or ended for ", limits_.step_timeout_s,
                  " s (--step-timeout); every request in flight ends, then the process");
  const auto done = std::make_shared<std::atomic<bool>>(false);
  base::start_thread("abandon", [done, engines = engines_] {
    for (const Watched& watched : engines) watched.engine->abandon();
    *done = true;
  }).detach();
  const double end = base::steady_seconds() + kAbandonSeconds;
  while (!*done && base::steady_seconds() < end) std::this_thread::sleep_for(std::chrono::milliseconds(5));
  log_threads();
  std::this_thread::sleep_for(std::chrono::duration<double>(kRepliesSeconds));
  base::fatal("serve", "the engine was stuck; ended");
}

}  // namespace polymath::commands
