#include "engine/replicas/chooser.h"

#include <algorithm>
#include <tuple>

#include "base/check.h"

namespace polymath::engine {
namespace {

constexpr int kWaitingWeight = 4;
constexpr int kSlack = 4;

int weight(const ReplicaState& state) { return state.live + (kWaitingWeight - 1) * state.waiting; }

// A mixer of splitmix64 (Steele, Lea, Flood 2014). Clients that seek collisions win another replica, and no data.
uint64_t mix(uint64_t hash, uint64_t value) {
  hash = (hash ^ value) + 0x9e3779b97f4a7c15;
  hash = (hash ^ (hash >> 30)) * 0xbf58476d1ce4e5b9;
  hash = (hash ^ (hash >> 27)) * 0x94d049bb133111eb;
  return hash ^ (hash >> 31);
}

}  // namespace

std::vector<uint64_t> prefix_blocks(std::span<const int32_t> prompt, int block_size, const std::string& salt,
                                    int adapter) {
  uint64_t hash = mix(0, static_cast<uint64_t>(adapter + 1));
  for (const char c : salt) hash = mix(hash, static_cast<unsigned char>(c));
  std::vector<uint64_t> blocks;
  const auto size = static_cast<size_t>(block_size);
  blocks.reserve(prompt.size() / size);
  for (size_t i = 0; i + size <= prompt.size(); i += size) {
    for (size_t t = i; t < i + size; ++t) hash = mix(hash, static_cast<uint32_t>(prompt[t]));
    blocks.push_back(hash);
  }
  return blocks;
}

ReplicaChooser::ReplicaChooser(int n_replicas, size_t prefixes_max)
    : half_max_(std::max<size_t>(1, prefixes_max / 2)), n_placed_(static_cast<size_t>(n_replicas)) {
  CHECK(n_replicas >= 1 && n_replicas <= kReplicasMax);
}

uint64_t ReplicaChooser::owners(uint64_t block) const {
  uint64_t bits = 0;
  for (const Owners* half : {&young_, &old_}) {
    const auto at = half->find(block);
    if (at != half->end()) bits |= at->second;
  }
  return bits;
}

int ReplicaChooser::matched(std::span<const uint64_t> blocks, int replica) const {
  int n = 0;
  for (const uint64_t block : blocks) {
    if ((owners(block) >> replica & 1) == 0) break;
    ++n;
  }
  return n;
}

std::vector<int> ReplicaChooser::order(std::span<const uint64_t> blocks, std::span<const ReplicaState> replicas) const {
  CHECK(replicas.size() == n_placed_.size());
  struct Candidate {
    int replica, weight, matched;
  };
  std::vector<Candidate> healthy;
  for (int r = 0; r < static_cast<int>(replicas.size()); ++r) {
    const ReplicaState& state = replicas[static_cast<size_t>(r)];
    if (state.healthy) healthy.push_back({r, weight(state), matched(blocks, r)});
  }
  const auto lighter = [](const Candidate& a, const Candidate& b) { return a.weight < b.weight; };
  const auto least = std::min_element(healthy.begin(), healthy.end(), lighter);
  const int bound = least == healthy.end() ? 0 : least->weight + std::max(kSlack, least->weight / 2);
  std::sort(healthy.begin(), healthy.end(), [&](const Candidate& a, const Candidate& b) {
    const auto rank = [&](const Candidate& c) {
      const bool within = c.weight <= bound;
      return std::tuple(!within, within ? -c.matched : 0, c.weight, n_placed_[static_cast<size_t>(c.replica)],
                        c.replica);
    };
    return rank(a) < rank(b);
  });
  std::vector<int> out;
  for (const Candidate& c : healthy) out.push_back(c.replica);
  return out;
}

void ReplicaChooser::placed(std::span<const uint64_t> blocks, int replica) {
  ++n_placed_[static_cast<size_t>(replica)];
  for (const uint64_t block : blocks) {
    if (young_.size() >= half_max_) {
      old_ = std::move(young_);
      young_.clear();
    }
    young_[block] |= owners(block) | uint64_t{1} << replica;
  }
}

}  // namespace polymath::engine
