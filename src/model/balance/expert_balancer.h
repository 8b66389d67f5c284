#pragma once

// Moves experts between the ranks of a group, so that their loads become even. Steps go on meanwhile.
//
//   ExpertBalancer balancer(ranks, options);
//   balancer.between_steps(first_rank);     // before each step; microseconds, and it never waits
//
// Every interval the loads of the latest window decide (parallel/expert_placement.h). A thread of its own then copies
// one layer after the other into the ranks' spare memory. The next call of between_steps() switches that layer on every
// rank. A layer whose busiest rank would gain less than 2 % stays as it is; the largest gain goes first. The thread
// rests twice as long as it copies, so that steps keep most of the memory's bandwidth.
//
// A token's output is a sum over ranks. So a switch changes the order of its terms, and no more: its f32 rounding.
//
// Thread safety: one thread calls.

#include <atomic>
#include <memory>
#include <thread>
#include <vector>

#include "model/balance/load_window.h"
#include "model/balance/movable_experts.h"
#include "model/balance/options.h"
#include "model/balance/report.h"

namespace polymath::model {

class ExpertBalancer {
 public:
  // A rank each, in order; they outlive the balancer. REQUIRES: the ranks' blocks are those of one model.
  ExpertBalancer(std::vector<MovableExperts*> ranks, const BalanceOptions& options);
  ~ExpertBalancer();

  // No step runs. `first`: of the first rank, whose counters see every token.
  void between_steps(const Model& first);
  const BalanceReport& report() const { return report_; }

 private:
  // Whose turn it is. Each changes it once the other may go on.
  enum class Turn : int {
    kIdle,     // nothing to do
    kPlan,     // the thread plans from loads_, then copies
    kCopying,  // the same, after a switch
    kReady,    // plan_ is copied: to be switched to
    kStop,
  };
  // Means over layers, of the window that decides.
  struct Forecast {
    double before = 1, predicted = 1;
  };
  struct Plan {
    size_t block = 0;
    parallel::Placement placement;
    double before = 1, predicted = 1;
    int64_t n_moves = 0, n_bytes = 0;
  };

  void work();
  void plan_and_copy();
  std::vector<Plan> make_plans();
  bool copy(Plan& plan);
  bool pass_turn(Turn from, Turn to);
  bool stopping() const { return turn_.load(std::memory_order_acquire) == Turn::kStop; }
  void switch_blocks();
  void decide();
  void measure();
  void log_loads() const;
  double mean_imbalance(const LoadWindow::Loads& loads) const;

  const std::vector<MovableExperts*> ranks_;
  const BalanceOptions options_;
  std::vector<parallel::PlacementShape> shapes_;  // of each block
  LoadWindow window_;
  BalanceReport report_;
  int64_t n_steps_ = 0;
  double moved_imbalance_ = 0;  // mean over layers, before the last moves; 0: nothing is to be measured
  std::atomic<Turn> turn_{Turn::kIdle};
  // By turn: the caller's in kIdle and kReady, else the thread's.
  LoadWindow::Loads loads_;
  Forecast forecast_;
  Plan plan_;
  std::thread thread_;
};

}  // namespace polymath::model
