#pragma once

// Data parallelism: several engines behind one face. Each has its own scheduler, KV cache and thread.
//
//   ReplicaSet replicas({&first, &second}, block_size);
//   replicas.submit(std::move(requests), place);     // to one of them, as ReplicaChooser has it
//
// The choices of one submit() stay together. Ids are the engine's own, with the replica in their remainder.
//
// Thread safety: any thread may call anything.

#include <mutex>
#include <vector>

#include "engine/engine.h"
#include "engine/replicas/chooser.h"

namespace polymath::engine {

class ReplicaSet : public Intake {
 public:
  // The engines outlive the set. REQUIRES: 1 to ReplicaChooser::kReplicasMax of them.
  ReplicaSet(std::vector<Engine*> engines, int block_size);

  absl::StatusOr<std::shared_ptr<Place>> reserve() override;
  // A replica whose queue is full passes the requests on to the next one.
  absl::StatusOr<std::vector<RequestId>> submit(std::vector<Request> requests, Place* place) override;
  using Intake::submit;
  void cancel(RequestId id, bool as_stop) override;
  using Intake::cancel;
  void drain(double seconds) override;  // all at once
  bool healthy() const override;        // every one is
  bool responds() const override;       // every one does
  EngineStats stats() const override;   // their sum; kv_usage: the mean
  std::vector<ExpertTokens> expert_tokens() const override;

 private:
  class HeldPlace;
  std::vector<ReplicaState> states() const;
  absl::StatusOr<std::shared_ptr<HeldPlace>> reserve_for(std::span<const uint64_t> blocks);

  const std::vector<Engine*> engines_;
  const int block_size_;
  std::mutex mutex_;
  ReplicaChooser chooser_;  // under mutex_
};

}  // namespace polymath::engine
