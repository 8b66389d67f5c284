#pragma once

// How experts move between ranks by their load.

namespace polymath::model {

struct BalanceOptions {
  int n_redundant = 0;        // copies of a layer's experts beside one of each, over all ranks
  int window_steps = 1000;    // whose loads decide
  int interval_steps = 3000;  // between two decisions
  bool logs = false;          // the ranks' loads of each layer
  int log_steps = 1;          // between two times that they are logged
};

}  // namespace polymath::model
