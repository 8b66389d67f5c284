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
// Thread safety: submit, reserve, cancel, stats, healthy, beats, abandon may be called from any thread.
// Every request that was submitted gets exactly one on_finish, also at shutdown.

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/metrics.h"
#include "base/status.h"
#include "engine/metrics/expert_metrics.h"
#include "engine/options.h"
#include "engine/request.h"
#include "model/model.h"

namespace polymath::engine {

using RequestId = uint64_t;

struct EngineStats {
  int running = 0;
  int waiting = 0;
  int deferred = 0;     // of `waiting`: until another request has computed a prefix that they share
  double kv_usage = 0;  // share of the blocks that running sequences hold
  uint64_t steps = 0;
  uint64_t prompt_tokens_computed = 0;
  uint64_t prompt_tokens_cached = 0;
  uint64_t generated_tokens = 0;
  uint64_t preemptions = 0;
};

inline constexpr double kBeatSeconds = 0.5;
inline constexpr double kSilentSecondsMax = 5;  // an idle thread without a beat for longer does not respond

class Engine {
 public:
  // `model` and `metrics` must outlive the engine. REQUIRES: check_options().
  Engine(model::Model& model, EngineOptions options, base::MetricsRegistry& metrics);
  ~Engine();  // stops; running requests end as cancelled

  void start();

  // A place in the queue for one request, from before its text is read. It counts as a waiting request until it is
  // submitted or destroyed. Errors as submit(). The engine must outlive the place.
  class Place;
  absl::StatusOr<std::shared_ptr<Place>> reserve();

  // kInvalidArgument: the prompt is empty or too long, an id is outside the vocabulary, or the adapter is not loaded.
  // Also: a parameter is out of range (named), or the KV cache is too small. kResourceExhausted: the queue is full, in
  // requests or in tokens; the message names the flag.
  // kUnavailable: draining or failed.
  // Of several requests all are submitted, or none. More than could ever be held: kInvalidArgument.
  absl::StatusOr<RequestId> submit(Request request);
  // `place`: the first of them takes it; null: none was reserved.
  absl::StatusOr<std::vector<RequestId>> submit(std::vector<Request> requests, Place* place = nullptr);

  // The request ends as kCancelled at the next step. An unknown or ended id does nothing.
  // `as_stop`: it ends as kStop instead (its text met a stop string).
  void cancel(RequestId id, bool as_stop = false);

  // Refuses new requests (kUnavailable) and waits for the running ones. After `seconds` it cancels them. Requests that
  // still wait for their first step are cancelled at once, unless another of their group has begun.
  void drain(double seconds);

  // For tests: this step (1: the first) fails as if the device had, or never ends. REQUIRES: before start().
  void fail_at_step(uint64_t step);
  void stall_at_step(uint64_t step);

  // False once a forward pass failed, or after abandon(). All requests have ended as kError then, and new ones are
  // refused.
  bool healthy() const;

  // A heartbeat: rises when a step begins and when it ends, and while the thread is idle every kBeatSeconds. 0: not
  // started.
  uint64_t beats() const;
  // False: the thread waits for work, but its heartbeat is older than kSilentSecondsMax.
  bool responds() const;
  // For a watchdog, where the engine thread is stuck. Ends every request as kError, on the calling thread, and refuses
  // new ones. A sink that the engine thread is just calling is ended once that call returns.
  void abandon();

  EngineStats stats() const;
  // Tokens of each expert, by layer, as of about a second ago. Empty: the model has no router. Any thread.
  std::vector<ExpertTokens> expert_tokens() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace polymath::engine
