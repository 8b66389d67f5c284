#pragma once

// The loop, and the only thread that owns Scheduler, BlockPool, PrefixCache and Sequences.
//
//   Engine engine(model, options, registry);
//   engine.start();
//   ASSIGN_OR_RETURN(RequestId id, engine.submit(std::move(request)));   // any thread
//   engine.cancel(id);                                                   // any thread; seen at the next step
//   engine.drain(30);                                                    // no new requests; waits for the running ones
//
// Thread safety: submit, cancel, stats, healthy may be called from any thread.
// Every request that was submitted gets exactly one on_finish, also at shutdown.

#include <cstdint>
#include <memory>
#include <string>

#include "base/metrics.h"
#include "base/status.h"
#include "engine/request.h"
#include "model/model.h"

namespace polymath::engine {

using RequestId = uint64_t;

struct EngineOptions {
  std::string model_name;      // label model_name of the metrics
  int block_size = 16;         // tokens in a KV block
  int64_t n_blocks = 0;        // KV blocks; REQUIRES: >= 2
  int model_len_max = 0;       // prompt + output tokens; a longer prompt: kInvalidArgument
  int step_tokens_max = 2048;  // tokens in one forward: prefill chunks and decodes together
  int mixed_prefill_tokens_max =
      0;                    // prefill tokens in a step that also decodes; 0: no limit of its own. Beyond: next step
  int sequences_max = 256;  // running at once; the others wait
  int waiting_max = 1024;   // queue bound; beyond it submit() says kResourceExhausted
  bool prefix_caching = true;
  bool priority_policy = false;  // lowest priority number first, then arrival; else arrival alone
};

struct EngineStats {
  int running = 0;
  int waiting = 0;
  double kv_usage = 0;  // of all blocks: held by running sequences
  uint64_t steps = 0;
  uint64_t prompt_tokens_computed = 0;
  uint64_t prompt_tokens_cached = 0;
  uint64_t generated_tokens = 0;
  uint64_t preemptions = 0;
};

class Engine {
 public:
  // `model` and `metrics` must outlive the engine.
  Engine(model::Model& model, EngineOptions options, base::MetricsRegistry& metrics);
  ~Engine();  // stops; running requests end as cancelled

  void start();

  // kInvalidArgument: an empty or too long prompt, an id outside the vocabulary, a parameter out of range (named), or
  // more KV than there is. kResourceExhausted: the queue is full. kUnavailable: draining or failed.
  absl::StatusOr<RequestId> submit(Request request);

  // The request ends as kCancelled at the next step; an unknown or ended id is nothing.
  // `as_stop`: it ends as kStop instead (a stop string was met).
  void cancel(RequestId id, bool as_stop = false);

  // No new requests (kUnavailable); returns when all have ended, or after `seconds`, cancelling the rest.
  void drain(double seconds);

  // For tests of what a failure brings: this step (1: the first) fails as if the device had. REQUIRES: before start().
  void fail_at_step(uint64_t step);

  // False once a forward pass failed: requests in flight ended as kError and no more are taken.
  bool healthy() const;
  EngineStats stats() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace polymath::engine
