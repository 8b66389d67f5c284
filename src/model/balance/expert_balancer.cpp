#include "model/balance/expert_balancer.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/process/thread_start.h"

namespace polymath::model {
namespace {

constexpr double kLeastGain = 0.02;  // of the busiest rank's pairs; a smaller one is not worth the copies
constexpr double kRest = 2;          // seconds of rest for each of copying

}  // namespace

ExpertBalancer::ExpertBalancer(std::vector<MovableExperts*> ranks, const BalanceOptions& options)
    : ranks_(std::move(ranks)), options_(options), window_(options.window_steps) {
  CHECK(!ranks_.empty() && options.interval_steps >= 1 && options.window_steps >= 1);
  for (const MovableExperts::Block& block : ranks_.front()->blocks()) {
    shapes_.push_back({static_cast<int>(ranks_.size()), static_cast<int>(block.moe->mine.count)});
    report_.layers.push_back({block.layer});
  }
  for (const MovableExperts* rank : ranks_) CHECK(rank->blocks().size() == shapes_.size());
  thread_ = base::start_thread("expert-mover", [this] { work(); });
}

ExpertBalancer::~ExpertBalancer() {
  turn_.store(Turn::kStop, std::memory_order_release);
  turn_.notify_all();
  thread_.join();
}

void ExpertBalancer::between_steps(const Model& first) {
  const Turn turn = turn_.load(std::memory_order_acquire);
  if (turn == Turn::kReady) switch_blocks();
  if (n_steps_++ == 0) window_.add(first.expert_load());
  if (window_.due(n_steps_)) {
    window_.add(first.expert_load());
    measure();
  }
  if (options_.logs && n_steps_ % options_.log_steps == 0) log_loads();
  if (n_steps_ % options_.interval_steps == 0 && turn == Turn::kIdle) decide();
}

// Imbalance by the placements in force, and the last decision's gain, once a whole window has run since.
void ExpertBalancer::measure() {
  if (!window_.full()) return;
  const LoadWindow::Loads loads = window_.loads();
  const bool measures = moved_imbalance_ > 0 && turn_.load(std::memory_order_acquire) == Turn::kIdle;
  for (size_t b = 0; b < shapes_.size(); ++b) {
    BalanceReport::Layer& layer = report_.layers[b];
    const auto& placement = ranks_.front()->blocks()[b].moe->placement;
    layer.now = parallel::rank_imbalance(loads[b], placement, shapes_[b].n_ranks);
    if (measures && layer.before > 0) layer.after = layer.now;
  }
  if (!measures) return;
  report_.measured_gain = 1 - mean_imbalance(loads) / std::exchange(moved_imbalance_, 0);
  base::log_info("model",
                 absl::StrFormat("experts moved: %d copies, %.1f MiB; the busiest ranks' load fell by %.1f %%, "
                                 "predicted were %.1f %%",
                                 report_.n_moves, static_cast<double>(report_.n_bytes) / (1 << 20),
                                 100 * report_.measured_gain, 100 * report_.predicted_gain));
}

double ExpertBalancer::mean_imbalance(const LoadWindow::Loads& loads) const {
  double sum = 0;
  for (size_t b = 0; b < shapes_.size(); ++b) {
    sum += parallel::rank_imbalance(loads[b], ranks_.front()->blocks()[b].moe->placement, shapes_[b].n_ranks);
  }
  return sum / static_cast<double>(std::max<size_t>(1, shapes_.size()));
}

void ExpertBalancer::decide() {
  loads_ = window_.loads();
  if (loads_.empty()) return;
  ++report_.n_decisions;
  moved_imbalance_ = 0;
  turn_.store(Turn::kPlan, std::memory_order_release);
  turn_.notify_one();
}

void ExpertBalancer::switch_blocks() {
  for (size_t r = 0; r < ranks_.size(); ++r) {
    ranks_[r]->switch_to(plan_.block, plan_.placement,
                         {static_cast<int>(ranks_.size()), static_cast<int>(r), /*whole_experts=*/true});
  }
  BalanceReport::Layer& layer = report_.layers[plan_.block];
  layer.before = plan_.before, layer.predicted = plan_.predicted, layer.after = 0;
  moved_imbalance_ = forecast_.before;
  report_.predicted_gain = 1 - forecast_.predicted / forecast_.before;
  ++report_.n_switches;
  report_.n_moves += plan_.n_moves;
  report_.n_bytes += plan_.n_bytes;
  window_.restart();
  pass_turn(Turn::kReady, Turn::kCopying);
}

void ExpertBalancer::log_loads() const {
  const LoadWindow::Loads loads = window_.loads();
  for (size_t b = 0; b < loads.size(); ++b) {
    const auto& placement = ranks_.front()->blocks()[b].moe->placement;
    base::log_info("model", "layer ", report_.layers[b].layer, ": tokens of each rank's experts: ",
                   absl::StrJoin(parallel::rank_loads(loads[b], placement, shapes_[b].n_ranks), ", "), "; imbalance ",
                   absl::StrFormat("%.3f", report_.layers[b].now));
  }
}

// False: the balancer stops.
bool ExpertBalancer::pass_turn(Turn from, Turn to) {
  const bool passed = turn_.compare_exchange_strong(from, to, std::memory_order_acq_rel);
  turn_.notify_all();
  return passed;
}

void ExpertBalancer::work() {
  for (;;) {
    const Turn turn = turn_.load(std::memory_order_acquire);
    if (turn == Turn::kStop) return;
    if (turn == Turn::kPlan) {
      plan_and_copy();
    } else {
      turn_.wait(turn, std::memory_order_acquire);
    }
  }
}

void ExpertBalancer::plan_and_copy() {
  Turn mine = Turn::kPlan;
  for (Plan& plan : make_plans()) {
    if (!copy(plan)) return;
    plan_ = std::move(plan);
    if (!pass_turn(mine, Turn::kReady)) return;
    turn_.wait(Turn::kReady, std::memory_order_acquire);
    mine = Turn::kCopying;
  }
  pass_turn(mine, Turn::kIdle);
}

// Largest gain first.
std::vector<ExpertBalancer::Plan> ExpertBalancer::make_plans() {
  std::vector<Plan> plans;
  const auto share = 1 / static_cast<double>(std::max<size_t>(1, shapes_.size()));
  forecast_ = {0, 0};
  for (size_t b = 0; b < shapes_.size(); ++b) {
    const parallel::Placement& now = ranks_.front()->blocks()[b].moe->placement;
    Plan plan{.block = b};
    plan.placement = parallel::keep_in_place(now, parallel::place_experts(loads_[b], shapes_[b]), shapes_[b]);
    plan.before = parallel::rank_imbalance(loads_[b], now, shapes_[b].n_ranks);
    plan.predicted = parallel::rank_imbalance(loads_[b], plan.placement, shapes_[b].n_ranks);
    const bool moves = plan.predicted < (1 - kLeastGain) * plan.before;
    forecast_.before += share * plan.before;
    forecast_.predicted += share * (moves ? plan.predicted : plan.before);
    if (moves) plans.push_back(std::move(plan));
  }
  std::stable_sort(plans.begin(), plans.end(),
                   [](const Plan& a, const Plan& b) { return a.before - a.predicted > b.before - b.predicted; });
  return plans;
}

// Fills every rank's spare. False: the balancer stops.
bool ExpertBalancer::copy(Plan& plan) {
  const parallel::Placement& now = ranks_.front()->blocks()[plan.block].moe->placement;
  const auto of_rank = static_cast<size_t>(shapes_[plan.block].slots_per_rank);
  for (size_t p = 0; p < plan.placement.size(); ++p) {
    if (stopping()) return false;
    const double begin = base::steady_seconds();
    const auto own = now.begin() + static_cast<std::ptrdiff_t>(p / of_rank * of_rank);
    auto from = std::find(own, own + static_cast<std::ptrdiff_t>(of_rank), plan.placement[p]);
    if (from == own + static_cast<std::ptrdiff_t>(of_rank)) {
      from = std::find(now.begin(), now.end(), plan.placement[p]);
      ++plan.n_moves;
      plan.n_bytes += static_cast<int64_t>(ranks_.front()->expert_bytes(plan.block));
    }
    const auto source = static_cast<size_t>(from - now.begin());
    ranks_[p / of_rank]->copy({plan.block, static_cast<int>(p % of_rank)}, *ranks_[source / of_rank],
                              static_cast<int>(source % of_rank));
    std::this_thread::sleep_for(std::chrono::duration<double>(kRest * (base::steady_seconds() - begin)));
  }
  return true;
}

}  // namespace polymath::model
