#pragma once

// The sequences that `bench offline` times, over a house's KV cache: each with blocks of its own, one after the other.

#include <cstdint>
#include <random>

#include "base/status.h"
#include "commands/house.h"
#include "commands/settings.h"
#include "model/load.h"

namespace polymath::commands {

class Sequences {
 public:
  // REQUIRES: the house is loaded, outlives this, and its cache has n * width() blocks.
  Sequences(House& house, const Settings& settings, int n);

  // One step of `count` more tokens for each sequence; seconds.
  absl::StatusOr<double> step(int count);
  void restart() { computed_ = 0; }
  const model::Transformer::StepCost& cost() const { return cost_; }  // of the last step
  int width() const { return width_; }                                // blocks of a sequence

 private:
  int32_t next_token() { return same_tokens_ ? 0 : any_(random_); }

  model::Transformer& model_;
  const int block_size_, n_, width_;
  const bool same_tokens_;
  int computed_ = 0;
  std::mt19937 random_{1};
  std::uniform_int_distribution<int32_t> any_;
  model::Transformer::StepCost cost_;
};

}  // namespace polymath::commands
