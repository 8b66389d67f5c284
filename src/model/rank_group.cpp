#include "model/rank_group.h"

#include <atomic>
#include <utility>

#include "backend/communicators.h"

namespace polymath::model {

// The threads of the ranks after the first. They sleep between steps.
struct RankGroup::Workers {
  explicit Workers(const std::vector<backend::Backend*>& backends) : status(backends.size()) {
    for (size_t rank = 1; rank < backends.size(); ++rank) {
      threads.emplace_back([this, rank, backend = backends[rank]] {
        backend->use_on_this_thread();
        work(rank);
      });
    }
  }
  ~Workers() {
    stopping = true;
    turn.fetch_add(1);
    turn.notify_all();
    for (auto& t : threads) t.join();
  }

  void work(size_t rank) {
    for (uint64_t seen = 0;;) {
      turn.wait(seen);
      seen = turn.load();
      if (stopping) return;
      status[rank] = (*task)(rank);
      busy.fetch_sub(1);
      busy.notify_one();
    }
  }

  void run(const OneRank& f) {
    task = &f;
    busy.store(static_cast<int>(threads.size()));
    turn.fetch_add(1);
    turn.notify_all();
    status[0] = f(0);
    for (int left = busy.load(); left > 0; left = busy.load()) busy.wait(left);
  }

  std::vector<absl::Status> status;  // by rank, of the latest task
  const OneRank* task = nullptr;
  std::atomic<uint64_t> turn{0};
  std::atomic<int> busy{0};
  std::atomic<bool> stopping{false};
  std::vector<std::thread> threads;
};

RankGroup::RankGroup(const ModelConfig& config, std::vector<std::unique_ptr<parallel::Communicator>> communicators)
    : config_(config), communicators_(std::move(communicators)) {}

RankGroup::~RankGroup() = default;

absl::StatusOr<std::unique_ptr<Transformer>> RankGroup::load(const ModelConfig& config, weights::Checkpoint& checkpoint,
                                                             const std::vector<backend::Backend*>& backends,
                                                             const LoadOptions& options) {
  CHECK(!backends.empty());
  if (backends.size() == 1) return load_model(config, checkpoint, *backends.front(), options);
  ASSIGN_OR_RETURN(auto communicators, backend::make_communicators(backends));
  std::unique_ptr<RankGroup> group(new RankGroup(config, std::move(communicators)));
  for (size_t r = 0; r < backends.size(); ++r) {
    LoadOptions of_rank = options;
    of_rank.group = group->communicators_[r].get();
    backends[r]->use_on_this_thread();
    ASSIGN_OR_RETURN(auto rank, load_model(config, checkpoint, *backends[r], of_rank));
    group->ranks_.push_back(std::move(rank));
  }
  backends.front()->use_on_this_thread();
  group->workers_ = std::make_unique<Workers>(backends);
  if (options.balance.has_value()) {
    std::vector<MovableExperts*> experts;
    for (const auto& rank : group->ranks_) experts.push_back(rank->movable_experts());
    group->balancer_ = std::make_unique<ExpertBalancer>(std::move(experts), *options.balance);
  }
  return group;
}

absl::Status RankGroup::on_every_rank(OneRank f) {
  workers_->run(f);
  for (const absl::Status& s : workers_->status) RETURN_IF_ERROR(s);
  return absl::OkStatus();
}

absl::Status RankGroup::start(const Batch& batch) {
  if (balancer_ != nullptr) balancer_->between_steps(first());
  return on_every_rank([&](size_t rank) { return ranks_[rank]->start(batch); });
}

absl::StatusOr<StepResult> RankGroup::finish() {
  StepResult result;
  RETURN_IF_ERROR(on_every_rank([&](size_t rank) -> absl::Status {
    ASSIGN_OR_RETURN(const StepResult of_rank, ranks_[rank]->finish());
    if (rank == 0) result = of_rank;
    return absl::OkStatus();
  }));
  return result;
}

absl::Status RankGroup::reserve(const backend::StepLimits& limits) {
  return on_every_rank([&](size_t rank) { return ranks_[rank]->reserve(limits); });
}

absl::Status RankGroup::make_cache(const CacheOptions& options) {
  return on_every_rank([&](size_t rank) { return ranks_[rank]->make_cache(options); });
}

size_t RankGroup::sum(absl::FunctionRef<size_t(const Transformer&)> of) const {
  size_t total = 0;
  for (const auto& rank : ranks_) total += of(*rank);
  return total;
}

size_t RankGroup::kv_block_bytes(const CacheOptions& options) const {
  return sum([&](const Transformer& rank) { return rank.kv_block_bytes(options); });
}
size_t RankGroup::state_bytes() const {
  return sum([](const Transformer& rank) { return rank.state_bytes(); });
}
size_t RankGroup::weight_bytes() const {
  return sum([](const Transformer& rank) { return rank.weight_bytes(); });
}
size_t RankGroup::scratch_bytes() const {
  return sum([](const Transformer& rank) { return rank.scratch_bytes(); });
}
size_t RankGroup::kv_bytes() const {
  return sum([](const Transformer& rank) { return rank.kv_bytes(); });
}
size_t RankGroup::graph_bytes() const {
  return sum([](const Transformer& rank) { return rank.graph_bytes(); });
}

layers::StepCost RankGroup::last_step_cost() {
  layers::StepCost total;
  for (const auto& rank : ranks_) {
    const layers::StepCost cost = rank->last_step_cost();
    total.weight_bytes += cost.weight_bytes;
    total.kv_bytes += cost.kv_bytes;
    total.flops += cost.flops;
  }
  return total;
}

}  // namespace polymath::model
