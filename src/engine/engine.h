#pragma once

// The engine thread. It alone owns Scheduler, BlockPool, PrefixCache, StatePool and Sequences.
//
//   RETURN_IF_ERROR(check_options(options, model));
//   Engine engine(model, options, registry);
//   engine.start();
//   ASSIGN_OR_RETURN(RequestId id, engine.submit(std::move(request)));   // any thread
//   engine.cancel(id);                                                   // any thread; seen at the next step
//   engine.drain(30);                                                    // no new requests; waits for the running ones
//
// Thread safety: those of Intake, beats and abandon may be called from any thread.
// Every request that was submitted gets exactly one on_finish, also at shutdown.

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/metrics.h"
#include "base/status.h"
#include "engine/intake.h"
#include "engine/options.h"
#include "model/model.h"

namespace polymath::engine {

inline constexpr double kBeatSeconds = 0.5;
inline constexpr double kSilentSecondsMax = 5;  // an idle thread without a beat for longer does not respond

class Engine : public Intake {
 public:
  // `model` and `metrics` must outlive the engine. REQUIRES: check_options().
  Engine(model::Model& model, EngineOptions options, base::MetricsRegistry& metrics);
  ~Engine() override;  // stops; running requests end as cancelled

  void start();

  absl::StatusOr<std::shared_ptr<Place>> reserve() override;
  absl::StatusOr<std::vector<RequestId>> submit(std::vector<Request> requests, Place* place) override;
  using Intake::submit;
  void cancel(RequestId id, bool as_stop) override;
  using Intake::cancel;
  void drain(double seconds) override;
  bool healthy() const override;
  bool responds() const override;
  EngineStats stats() const override;
  std::vector<ExpertTokens> expert_tokens() const override;

  // For tests: this step (1: the first) fails as if the device had, or never ends. REQUIRES: before start().
  void fail_at_step(uint64_t step);
  void stall_at_step(uint64_t step);

  // A heartbeat: rises when a step begins and when it ends, and while the thread is idle every kBeatSeconds. 0: not
  // started.
  uint64_t beats() const;
  // For a watchdog, where the engine thread is stuck. Ends every request as kError, on the calling thread, and refuses
  // new ones. A sink that the engine thread is just calling is ended once that call returns.
  void abandon();

 private:
  class QueuePlace;
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace polymath::engine
