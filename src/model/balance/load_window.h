#pragma once

// The experts' loads of the latest steps, out of counters that only grow.
//
// Memory: one snapshot of all counters for each of kParts parts of the window. Thread safety: none.

#include <cstdint>
#include <deque>
#include <vector>

#include "model/model.h"

namespace polymath::model {

class LoadWindow {
 public:
  // [layer][expert]: (token, choice) pairs.
  using Loads = std::vector<std::vector<double>>;

  // `steps` >= 1; from 8 on, rounded down to a multiple of 8.
  explicit LoadWindow(int steps) : every_(steps > kParts ? steps / kParts : 1), parts_(steps / every_) {}

  // Whether add() is due after the step of this number (1: the first).
  bool due(int64_t step) const { return step % every_ == 0; }
  void add(const std::vector<Model::ExpertLoad>& loads);
  // Since the oldest snapshot that is kept: the window, or what there is of it.
  Loads loads() const;
  bool full() const { return snapshots_.size() > static_cast<size_t>(parts_); }
  void restart();  // the next window has no step in common with the last

 private:
  static constexpr int kParts = 8;
  using Snapshot = std::vector<std::vector<int64_t>>;

  const int every_, parts_;
  std::deque<Snapshot> snapshots_;  // parts_ + 1 at most, oldest first
};

}  // namespace polymath::model
