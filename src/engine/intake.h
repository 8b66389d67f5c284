#pragma once

// Where requests enter: one engine, or several replicas behind one face (replicas/replica_set.h).
//
// Thread safety: any thread may call anything.

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "base/status.h"
#include "engine/metrics/expert_metrics.h"
#include "engine/request.h"

namespace polymath::engine {

using RequestId = uint64_t;

struct EngineStats {
  int running = 0;
  int waiting = 0;
  int deferred = 0;     // of `waiting`: until another request has computed a prefix that they share
  int live = 0;         // submitted, and not ended
  double kv_usage = 0;  // share of the blocks that running sequences hold
  uint64_t steps = 0;
  uint64_t prompt_tokens_computed = 0;
  uint64_t prompt_tokens_cached = 0;
  uint64_t generated_tokens = 0;
  uint64_t preemptions = 0;
};

// A place in a queue for one request, from before its text is read. It counts as a waiting request until it is
// submitted or destroyed.
class Place {
 public:
  virtual ~Place() = default;
};

class Intake {
 public:
  virtual ~Intake() = default;

  // Errors as submit(). The intake must outlive the place.
  virtual absl::StatusOr<std::shared_ptr<Place>> reserve() = 0;
  // kInvalidArgument: the prompt is empty or too long, an id is outside the vocabulary, or the adapter is not loaded.
  // Also: a parameter is out of range (named), or the KV cache is too small. kResourceExhausted: the queue is full, in
  // requests or in tokens; the message names the flag.
  // kUnavailable: draining or failed.
  // Of several requests all are submitted, or none. More than could ever be held: kInvalidArgument.
  // `place`: of this intake's reserve(); the first request takes it; null: none was reserved.
  virtual absl::StatusOr<std::vector<RequestId>> submit(std::vector<Request> requests, Place* place) = 0;
  absl::StatusOr<std::vector<RequestId>> submit(std::vector<Request> requests) {
    return submit(std::move(requests), nullptr);
  }
  absl::StatusOr<RequestId> submit(Request request) {
    std::vector<Request> one;
    one.push_back(std::move(request));
    ASSIGN_OR_RETURN(const std::vector<RequestId> ids, submit(std::move(one), nullptr));
    return ids.front();
  }
  // The request ends as kCancelled at the next step. An unknown or ended id does nothing.
  // `as_stop`: it ends as kStop instead (its text met a stop string).
  virtual void cancel(RequestId id, bool as_stop) = 0;
  void cancel(RequestId id) { cancel(id, false); }

  // Refuses new requests (kUnavailable) and waits for the running ones. After `seconds` it cancels them. Requests that
  // still wait for their first step are cancelled at once, unless another of their group has begun.
  virtual void drain(double seconds) = 0;

  // False once a forward pass failed, or after abandon(). All requests have ended as kError then, and new ones are
  // refused.
  virtual bool healthy() const = 0;
  // False: a thread waits for work, but its heartbeat is older than kSilentSecondsMax.
  virtual bool responds() const = 0;
  virtual EngineStats stats() const = 0;
  // Tokens of each expert, by layer, as of about a second ago. Empty: the model has no router.
  virtual std::vector<ExpertTokens> expert_tokens() const = 0;
};

}  // namespace polymath::engine
