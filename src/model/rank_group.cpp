#include "model/rank_group.h"

#include <algorithm>
#include <array>
#include <utility>

#include "absl/strings/str_cat.h"
#include "backend/communicators.h"
#include "base/clock.h"
#include "model/nodes/node_links.h"
#include "model/nodes/remote_rank.h"
#include "model/rank_links.h"
#include "model/step_results.h"

namespace polymath::model {

using parallel::Activity;

struct RankGroup::Peer : RankLinks {
  parallel::Stage stage;
  std::string name;
};

RankGroup::RankGroup(const ModelConfig& config, const std::vector<backend::Backend*>& backends,
                     const LoadOptions& options)
    : config_(config),
      n_stages_(std::max<int>(1, static_cast<int>(options.stages.size()))),
      tensor_size_(static_cast<int>(backends.size()) / n_stages_),
      on_host_(backends[backends.size() - static_cast<size_t>(tensor_size_)]->memory_available() < 0),
      nodes_(options.nodes),
      fault_(options.fault) {
  const std::vector<parallel::Stage> stages = parallel::stages_of(options.stages);
  for (size_t r = 0; r < backends.size(); ++r) {
    auto peer = std::make_unique<Peer>();
    peer->stage = stages[r / static_cast<size_t>(tensor_size_)];
    peer->name = absl::StrCat("rank ", r, " of ", backends.size());
    if (nodes_ != nullptr) {
      absl::StrAppend(&peer->name, " (node ",
                      node_of_rank(static_cast<int>(r), n_stages_, static_cast<int>(backends.size())), ")");
    }
    if (n_stages_ > 1) absl::StrAppend(&peer->name, " (stage ", peer->stage.at, " of ", n_stages_, ")");
    peers_.push_back(std::move(peer));
  }
  step_job_ =
      std::make_shared<const RankThreads::Job>([this](size_t rank, size_t slot) { return run_step(rank, slot); });
  collect_job_ =
      std::make_shared<const RankThreads::Job>([this](size_t rank, size_t slot) { return collect(rank, slot); });
}

RankGroup::~RankGroup() = default;

absl::StatusOr<std::unique_ptr<Transformer>> RankGroup::load(const ModelConfig& config, weights::Checkpoint& checkpoint,
                                                             const std::vector<backend::Backend*>& backends,
                                                             const LoadOptions& options) {
  CHECK(!backends.empty() && backends.size() % std::max<size_t>(1, options.stages.size()) == 0);
  if (backends.size() == 1) return load_model(config, checkpoint, *backends.front(), options);
  RETURN_IF_ERROR(check_stages(config, options.stages));
  std::unique_ptr<RankGroup> group(new RankGroup(config, backends, options));
  RETURN_IF_ERROR(group->connect(backends, options.stages));
  RETURN_IF_ERROR(group->load_ranks(checkpoint, backends, options));
  RETURN_IF_ERROR(group->start_balancer(options));
  group->start_threads(backends, options.rank_timeout_s);
  return group;
}

// A stage's ranks are neighbours in the list.
absl::Status RankGroup::connect(const std::vector<backend::Backend*>& backends, const std::vector<int>& stages) {
  if (nodes_ != nullptr) {
    join_nodes(*nodes_, stages, *peers_[result_rank()]);
    return absl::OkStatus();
  }
  const auto tensor_size = static_cast<size_t>(tensor_size_);
  for (size_t begin = 0; begin < backends.size() && tensor_size > 1; begin += tensor_size) {
    const auto first = backends.begin() + static_cast<ptrdiff_t>(begin);
    ASSIGN_OR_RETURN(auto group, backend::make_communicators({first, first + tensor_size_}));
    for (size_t i = 0; i < tensor_size; ++i) peers_[begin + i]->join(&RankLinks::group, std::move(group[i]));
  }
  for (size_t next = tensor_size; next < backends.size(); ++next) {
    const size_t rank = next - tensor_size;
    ASSIGN_OR_RETURN(auto pair, backend::make_communicators({backends[rank], backends[next]}));
    peers_[rank]->join(&RankLinks::after, std::move(pair[0]));
    peers_[next]->join(&RankLinks::before, std::move(pair[1]));
  }
  return absl::OkStatus();
}

absl::Status RankGroup::load_ranks(weights::Checkpoint& checkpoint, const std::vector<backend::Backend*>& backends,
                                   const LoadOptions& options) {
  ranks_.resize(backends.size());
  std::vector<std::unique_ptr<parallel::ControlLink>> links(backends.size());
  for (size_t r = 0; r < backends.size(); ++r) {
    if (backends[r] == nullptr) links[r] = link_to(r, options);
  }
  for (size_t r = 0; r < backends.size(); ++r) {
    if (backends[r] == nullptr) continue;
    LoadOptions of_rank = options;
    peers_[r]->give_to(of_rank);
    of_rank.stage = peers_[r]->stage;
    backends[r]->use_on_this_thread();
    ASSIGN_OR_RETURN(ranks_[r], load_model(config_, checkpoint, *backends[r], of_rank));
  }
  for (size_t r = 0; r < backends.size(); ++r) {  // the other nodes loaded at the same time
    if (backends[r] != nullptr) continue;
    ASSIGN_OR_RETURN(ranks_[r], RemoteRank::attach(std::move(links[r]), nodes_, config_));
  }
  has_state_ = std::ranges::any_of(ranks_, [](const auto& rank) { return rank->has_state(); });
  backends[result_rank()]->use_on_this_thread();
  steps_.resize(static_cast<size_t>(steps_in_flight_max()));
  return absl::OkStatus();
}

// The other nodes get the local rank's trace.
std::unique_ptr<parallel::ControlLink> RankGroup::link_to(size_t rank, const LoadOptions& options) {
  const int node = node_of_rank(static_cast<int>(rank), n_stages_, static_cast<int>(peers_.size()));
  return std::make_unique<parallel::ControlLink>(
      nodes_->take_control(node), parallel::ControlLink::Options{.peer = node, .silence_s = options.rank_timeout_s},
      peers_[result_rank()]->trace, &peers_[rank]->trace,
      [mesh = nodes_](const absl::Status& reason) { mesh->abort(reason); });
}

absl::Status RankGroup::start_balancer(const LoadOptions& options) {
  if (!options.balance.has_value()) return absl::OkStatus();
  if (n_stages_ > 1 || !on_host_) {
    return absl::UnimplementedError("experts move only between CPU ranks of one stage");
  }
  std::vector<MovableExperts*> experts;
  for (const auto& rank : ranks_) experts.push_back(rank->movable_experts());
  balancer_ = std::make_unique<ExpertBalancer>(std::move(experts), *options.balance);
  return absl::OkStatus();
}

void RankGroup::start_threads(const std::vector<backend::Backend*>& backends, double timeout_s) {
  std::vector<RankThreads::Member> members;
  for (size_t r = 0; r < backends.size(); ++r) members.push_back({backends[r], &peers_[r]->trace, peers_[r]->name});
  threads_ = std::make_unique<RankThreads>(std::move(members), timeout_s,
                                           [this](const absl::Status& reason) { abort(reason); });
}

void RankGroup::abort(const absl::Status& reason) {
  for (const auto& peer : peers_) {
    for (parallel::Communicator* c : peer->communicators()) {
      if (c != nullptr) c->abort(reason);
    }
  }
}

// A backend with a device has readback slots for two steps.
int RankGroup::steps_in_flight_max() const {
  if (n_stages_ == 1) return first().steps_in_flight_max();
  return first().samples_on_device() ? std::min(n_stages_, StepResults::kInFlightMax) : n_stages_;
}

// On the host a step has ended when start() returns.
absl::Status RankGroup::run_step(size_t rank, size_t slot) {
  if (rank == fault_.rank && fault_.fault != parallel::RankFault::kNone && ++n_fault_steps_ >= fault_.step) {
    if (fault_.fault == parallel::RankFault::kFail) return absl::InternalError("this step was to fail");
    peers_[rank]->fault = fault_.fault;
  }
  const double begin = base::steady_seconds();
  absl::Status status = ranks_[rank]->start(steps_[slot].batch.batch());
  if (status.ok()) status = peers_[rank]->health();
  if (status.ok() && on_host_) status = collect(rank, slot);
  rest(rank);
  peers_[rank]->trace.add_step(base::steady_seconds() - begin);
  return status;
}

// The trace of a rank on another node follows that node.
void RankGroup::rest(size_t rank) {
  if (nodes_ == nullptr || rank == result_rank()) peers_[rank]->trace.enter(Activity::kIdle);
}

absl::Status RankGroup::collect(size_t rank, size_t slot) {
  ASSIGN_OR_RETURN(const StepResult of_rank, ranks_[rank]->finish());
  if (rank == result_rank()) steps_[slot].result = of_rank;
  rest(rank);
  return absl::OkStatus();
}

absl::Status RankGroup::start(const Batch& batch) {
  CHECK(n_started_ - n_finished_ < steps_.size());
  if (balancer_ != nullptr) {
    CHECK(n_started_ == n_finished_);  // no step runs
    balancer_->between_steps(first());
  }
  const size_t slot = n_started_++ % steps_.size();
  steps_[slot].batch.assign(batch);
  steps_[slot].ticket = threads_->post(step_job_, slot);
  return absl::OkStatus();
}

absl::StatusOr<StepResult> RankGroup::finish() {
  CHECK(n_finished_ < n_started_);
  const size_t slot = n_finished_++ % steps_.size();
  const uint64_t ticket = on_host_ ? steps_[slot].ticket : threads_->post(collect_job_, slot);
  RETURN_IF_ERROR(threads_->wait(ticket));
  return steps_[slot].result;
}

absl::Status RankGroup::health() const { return nodes_ != nullptr ? nodes_->health() : absl::OkStatus(); }

uint64_t RankGroup::post_to_all(std::function<absl::Status(size_t rank)> f) const {
  return threads_->post(
      std::make_shared<const RankThreads::Job>([f = std::move(f)](size_t rank, size_t) { return f(rank); }));
}

absl::Status RankGroup::reserve(const backend::StepLimits& limits) {
  return threads_->wait_unwatched(post_to_all([this, limits](size_t rank) { return ranks_[rank]->reserve(limits); }));
}

absl::Status RankGroup::make_cache(const CacheOptions& options) {
  return threads_->wait_unwatched(
      post_to_all([this, options](size_t rank) { return ranks_[rank]->make_cache(options); }));
}

// The ranks of a stage route alike.
std::vector<Model::ExpertLoad> RankGroup::expert_load() const {
  const auto of_rank = std::make_shared<std::vector<std::vector<ExpertLoad>>>(ranks_.size());
  const uint64_t ticket = post_to_all([this, of_rank](size_t rank) {
    if (rank % static_cast<size_t>(tensor_size_) == 0) (*of_rank)[rank] = ranks_[rank]->expert_load();
    return absl::OkStatus();
  });
  std::vector<ExpertLoad> all;
  if (!threads_->wait(ticket).ok()) return all;
  for (const auto& loads : *of_rank) all.insert(all.end(), loads.begin(), loads.end());
  return all;
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

std::vector<RankReport> RankGroup::rank_reports() const {
  std::vector<RankReport> reports;
  for (size_t r = 0; r < ranks_.size(); ++r) {
    const Transformer& rank = *ranks_[r];
    reports.push_back({.stage = peers_[r]->stage.at,
                       .weights = rank.weight_bytes(),
                       .scratch = rank.scratch_bytes(),
                       .kv_cache = rank.kv_bytes(),
                       .graphs = rank.graph_bytes(),
                       .on_host = on_host_,
                       .totals = peers_[r]->trace.totals()});
  }
  return reports;
}

layers::StepCost RankGroup::last_step_cost() {
  const auto costs = std::make_shared<std::vector<layers::StepCost>>(ranks_.size());
  const uint64_t ticket = post_to_all([this, costs](size_t rank) {
    (*costs)[rank] = ranks_[rank]->last_step_cost();
    return absl::OkStatus();
  });
  layers::StepCost total;
  if (!threads_->wait(ticket).ok()) return total;
  for (const layers::StepCost& cost : *costs) {
    total.weight_bytes += cost.weight_bytes;
    total.kv_bytes += cost.kv_bytes;
    total.flops += cost.flops;
  }
  return total;
}

}  // namespace polymath::model
