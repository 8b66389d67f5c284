#pragma once

// What moving experts between ranks has done since the start.

#include <cstdint>
#include <vector>

namespace polymath::model {

// Imbalance: the busiest rank's (token, choice) pairs of a layer over the mean of the ranks. 1: even.
struct BalanceReport {
  struct Layer {
    int layer = 0;
    double now = 1;        // of the latest window, by the placement in force
    double before = 0;     // when its experts moved last: of the window that decided; 0: they never did
    double predicted = 0;  // the same window by the new placement
    double after = 0;      // of the first whole window after the move; 0: not measured yet
  };
  std::vector<Layer> layers;
  int64_t n_decisions = 0;  // windows that were looked at
  int64_t n_switches = 0;   // layers that got a new placement
  int64_t n_moves = 0;      // experts copied from another rank
  int64_t n_bytes = 0;      // of them
  // Share of the busiest ranks' pairs, over all layers, that the last decision was to save, and did. 0: not known yet.
  double predicted_gain = 0, measured_gain = 0;
};

}  // namespace polymath::model
