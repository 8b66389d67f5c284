#pragma once

// Which of several replicas gets a request. Pure bookkeeping: no thread, clock or lock.
//
//   const std::vector<int> order = chooser.order(blocks, replicas);     // best first
//   chooser.placed(blocks, order.front());
//
// A replica's weight is its live requests, waiting ones counted four times, as vLLM's own balancer counts them. Only
// replicas within a bound of the lightest come into question. Of them the one that was given the longest common
// beginning wins: it is likely to have those KV blocks. Ties go to the lighter one, then to the one that was chosen
// less often.
//
// The bound keeps a popular prefix from filling one replica. It is 4 requests, or half of the lightest weight if that
// is more.
//
// Thread safety: none.

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"

namespace polymath::engine {

struct ReplicaState {
  int live = 0;     // requests that it holds
  int waiting = 0;  // of them, those without a first step
  bool healthy = true;
};

// The prompt's whole blocks: each number stands for all tokens up to its block's end, under this salt and adapter.
std::vector<uint64_t> prefix_blocks(std::span<const int32_t> prompt, int block_size, const std::string& salt,
                                    int adapter);

class ReplicaChooser {
 public:
  static constexpr int kReplicasMax = 64;          // more: refused, a CHECK here
  static constexpr size_t kPrefixesMax = 1 << 18;  // blocks; beyond, the older half is forgotten: that costs hits alone

  // REQUIRES: 1 <= n_replicas <= kReplicasMax.
  explicit ReplicaChooser(int n_replicas, size_t prefixes_max = kPrefixesMax);

  // Every healthy replica, best first. REQUIRES: a state a replica.
  std::vector<int> order(std::span<const uint64_t> blocks, std::span<const ReplicaState> replicas) const;
  // The request went there.
  void placed(std::span<const uint64_t> blocks, int replica);
  // Leading blocks that went to the replica before.
  int matched(std::span<const uint64_t> blocks, int replica) const;

 private:
  using Owners = absl::flat_hash_map<uint64_t, uint64_t>;  // block -> a bit for each replica that has it
  uint64_t owners(uint64_t block) const;

  const size_t half_max_;
  Owners young_, old_;
  std::vector<int64_t> n_placed_;  // by replica
};

}  // namespace polymath::engine
