#include "engine/replicas/replica_set.h"

#include <algorithm>
#include <thread>
#include <utility>

#include "base/process/thread_start.h"

namespace polymath::engine {

class ReplicaSet::HeldPlace : public Place {
 public:
  HeldPlace(int replica, std::shared_ptr<Place> place) : replica_(replica), place_(std::move(place)) {}
  int replica() const { return replica_; }
  Place* inner() const { return place_.get(); }
  void leave() { place_.reset(); }

 private:
  const int replica_;
  std::shared_ptr<Place> place_;
};

ReplicaSet::ReplicaSet(std::vector<Engine*> engines, int block_size)
    : engines_(std::move(engines)), block_size_(block_size), chooser_(static_cast<int>(engines_.size())) {}

std::vector<ReplicaState> ReplicaSet::states() const {
  std::vector<ReplicaState> out;
  for (const Engine* engine : engines_) {
    const EngineStats stats = engine->stats();
    out.push_back({stats.live, stats.waiting, engine->healthy()});
  }
  return out;
}

// A place at the best replica that has one.
absl::StatusOr<std::shared_ptr<ReplicaSet::HeldPlace>> ReplicaSet::reserve_for(std::span<const uint64_t> blocks) {
  const std::vector<ReplicaState> replicas = states();
  std::vector<int> order;
  {
    const std::lock_guard lock(mutex_);
    order = chooser_.order(blocks, replicas);
  }
  absl::Status first = absl::UnavailableError("the model failed; no more requests are taken");
  for (const int r : order) {
    auto place = engines_[static_cast<size_t>(r)]->reserve();
    if (place.ok()) return std::make_shared<HeldPlace>(r, *std::move(place));
    if (r == order.front()) first = place.status();
  }
  return first;
}

absl::StatusOr<std::shared_ptr<Place>> ReplicaSet::reserve() { return reserve_for({}); }

// The place that was reserved before the prompt was known may be another replica's. It is left then.
absl::StatusOr<std::vector<RequestId>> ReplicaSet::submit(std::vector<Request> requests, Place* place) {
  const Request& first = requests.front();
  const auto blocks = prefix_blocks(first.prompt, block_size_, first.cache_salt, first.adapter);
  auto* held = static_cast<HeldPlace*>(place);
  const auto chosen = reserve_for(blocks);
  if (!chosen.ok() && held == nullptr) return chosen.status();
  const bool stays = !chosen.ok() || (held != nullptr && held->replica() == (*chosen)->replica());
  const HeldPlace& taken = stays ? *held : **chosen;
  const int replica = taken.replica();
  auto submitted = engines_[static_cast<size_t>(replica)]->submit(std::move(requests), taken.inner());
  if (held != nullptr) held->leave();
  RETURN_IF_ERROR(submitted.status());
  std::vector<RequestId> ids = *std::move(submitted);
  for (RequestId& id : ids) id = id * engines_.size() + static_cast<RequestId>(replica);
  const std::lock_guard lock(mutex_);
  chooser_.placed(blocks, replica);
  return ids;
}

void ReplicaSet::cancel(RequestId id, bool as_stop) {
  engines_[id % engines_.size()]->cancel(id / engines_.size(), as_stop);
}

void ReplicaSet::drain(double seconds) {
  std::vector<std::thread> threads;
  for (Engine* engine : engines_) {
    threads.push_back(base::start_thread("drain", [engine, seconds] { engine->drain(seconds); }));
  }
  for (std::thread& thread : threads) thread.join();
}

bool ReplicaSet::healthy() const {
  return std::all_of(engines_.begin(), engines_.end(), [](const Engine* e) { return e->healthy(); });
}

bool ReplicaSet::responds() const {
  return std::all_of(engines_.begin(), engines_.end(), [](const Engine* e) { return e->responds(); });
}

EngineStats ReplicaSet::stats() const {
  EngineStats sum;
  for (const Engine* engine : engines_) {
    const EngineStats s = engine->stats();
    sum.running += s.running, sum.waiting += s.waiting, sum.deferred += s.deferred, sum.live += s.live;
    sum.kv_usage += s.kv_usage / static_cast<double>(engines_.size());
    sum.steps += s.steps;
    sum.prompt_tokens_computed += s.prompt_tokens_computed;
    sum.prompt_tokens_cached += s.prompt_tokens_cached;
    sum.generated_tokens += s.generated_tokens;
    sum.preemptions += s.preemptions;
  }
  return sum;
}

std::vector<ExpertTokens> ReplicaSet::expert_tokens() const {
  std::vector<ExpertTokens> sum = engines_.front()->expert_tokens();
  for (size_t r = 1; r < engines_.size(); ++r) {
    const std::vector<ExpertTokens> more = engines_[r]->expert_tokens();
    for (size_t l = 0; l < std::min(sum.size(), more.size()); ++l) {
      for (size_t e = 0; e < sum[l].tokens.size(); ++e) sum[l].tokens[e] += more[l].tokens[e];
    }
  }
  return sum;
}

}  // namespace polymath::engine
