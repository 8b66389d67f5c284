#pragma once

// The sequences that `bench offline` times. Each has its own consecutive blocks of the runtime's KV cache.

#include <cstdint>
#include <random>
#include <vector>

#include "base/status.h"
#include "commands/options.h"
#include "commands/runtime.h"
#include "model/loading/load.h"

namespace polymath::commands {

class Sequences {
 public:
  // Of up to `prompt` + options.output tokens. REQUIRES: the runtime is loaded, outlives this, and its cache has
  // n * width() blocks.
  Sequences(Runtime& runtime, const BenchOptions& options, int n, int prompt);

  // One step of `count` more tokens for each sequence, all its logits on the host; seconds.
  absl::StatusOr<double> step(int count);
  const layers::StepCost& cost() const { return cost_; }  // of the last step()

  // `count` steps of one token each, as a server runs them: the host plans one step while another runs.
  // REQUIRES: the model samples on the device.
  struct Times {
    double seconds = 0;
    std::vector<double> host_seconds;  // of each step, outside of waits for the device
  };
  absl::StatusOr<Times> steps_ahead(int count);

  void restart(int computed = 0) { computed_ = computed; }
  int computed() const { return computed_; }
  int width() const { return width_; }  // blocks of a sequence

 private:
  int32_t next_token() { return same_tokens_ ? 0 : any_(random_); }
  model::Batch batch_of(int count);

  model::Transformer& model_;
  const int block_size_, n_, width_;
  const bool same_tokens_, feedback_;
  int computed_ = 0;
  std::mt19937 random_{1};
  std::uniform_int_distribution<int32_t> any_;
  layers::StepCost cost_;
  std::vector<int32_t> tokens_, positions_, slots_, starts_, lens_, rows_, table_, token_rows_, states_;
  std::vector<kvcache::StateCopy> cleared_;
  std::vector<model::SampleParams> sampling_;
};

}  // namespace polymath::commands
