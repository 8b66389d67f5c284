#pragma once

// One thread that watches the process from its first moment: signals, time limits and the engine's heartbeat.
//
//   Supervisor supervisor;                         // before any other thread
//   supervisor.loading(startup_timeout);           // a signal ends the process at once, with 128 + its number
//   auto watch = supervisor.serve(engines, limits); // the first signal asks for a drain; `watch` ends before the
//   engine if (supervisor.wait(0.2) != 0) ...drain...     // the second one ends the process at once, in every phase
//
// SIGTERM, SIGINT and SIGHUP are alike; SIGHUP stays ignored where it was (nohup). From the first signal on the process
// has drain_seconds to end. Then it ends with base::kExitFatal, whatever its threads do.
//
// A heartbeat that rests for step_timeout_s ends every request, logs where each thread is, and ends the process.
//
// Thread safety: one thread calls.

#include <condition_variable>
#include <csignal>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "engine/engine.h"

namespace polymath::commands {

struct ServeLimits {
  double step_timeout_s = 0;  // 0: no limit
  double drain_seconds = 0;   // from the first signal to the end of the process
};

class Supervisor {
 public:
  Supervisor();   // masks the signals in this thread and those it makes
  ~Supervisor();  // joins; the signals stay masked

  // `timeout_s`: for all until serve(); 0: no limit.
  void loading(double timeout_s);

  // Watches the engines while it lives.
  class Watch {
   public:
    explicit Watch(Supervisor& supervisor) : supervisor_(supervisor) {}
    ~Watch() { supervisor_.forget_engines(); }
    Watch(const Watch&) = delete;
    Watch& operator=(const Watch&) = delete;

   private:
    Supervisor& supervisor_;
  };
  [[nodiscard]] Watch serve(const std::vector<engine::Engine*>& engines, const ServeLimits& limits);

  // The signal that asked for a drain; 0: none within `seconds`.
  int wait(double seconds);
  // From now on the process ends within `seconds`, for another reason than a signal.
  void end_within(double seconds);

 private:
  struct Deadline {
    double at = 0;  // steady seconds; 0: none
    std::string sentence;
  };

  void work();
  void take_signal(int signal);
  void check_deadline();
  void check_engines(double elapsed);
  void end_stuck();
  void set_deadline(double seconds, std::string sentence);
  void forget_engines();

  sigset_t signals_;
  std::mutex mutex_;  // of all below it
  std::condition_variable changed_;
  bool stop_ = false;
  bool serving_ = false;
  int signal_ = 0;  // the first one while serving
  ServeLimits limits_;
  Deadline deadline_;

  std::mutex engine_mutex_;  // held while a stuck engine is dealt with: it must not be destroyed then
  struct Watched {
    engine::Engine* engine = nullptr;
    uint64_t beats = 0;     // when they rose last
    double rested_for = 0;  // seconds since
  };
  std::vector<Watched> engines_;
  std::thread thread_;
};

}  // namespace polymath::commands
