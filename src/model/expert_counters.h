#pragma once

// What went to each expert, of all routed blocks: counted on the device, read by the host. With what the host knows of
// them: steps, times, and the router's weights where the backend uses host memory.
//
// Thread safety: none; the thread that starts steps.

#include <vector>

#include "backend/backend.h"
#include "layers/feed_forward.h"
#include "model/config.h"
#include "model/model.h"

namespace polymath::model {

class ExpertCounters {
 public:
  // Bytes that attach() allocates.
  static size_t bytes(const ModelConfig& config);
  // Gives every routed block its counters. `layers`: the feed-forward part of each layer of the stage; they keep their
  // places.
  absl::Status attach(backend::Backend& backend, const std::vector<layers::FeedForward*>& layers,
                      const parallel::Stage& stage);

  // A step starts. `with_logits`: the last layer's feed-forward part runs, too.
  void add_step(bool with_logits) {
    ++n_steps_;
    n_logit_steps_ += with_logits ? 1 : 0;
  }
  // The backend computes on the calling thread: the feed-forward part of the stage's layer took so long.
  void add_seconds(int layer, double seconds) { seconds_[static_cast<size_t>(layer)] += seconds; }

  // Reads the device; waits for the steps in flight. Valid until the next read.
  std::vector<Model::ExpertLoad> read(backend::Backend& backend);

  // What went to a block's experts between the last two reads: pairs, and how many experts got any.
  struct Touched {
    double pairs = 0, experts = 0;
  };
  Touched since_last(const layers::MoeLayer& block);

 private:
  struct Counted {
    int layer = 0;  // of the stage
    const layers::MoeLayer* block = nullptr;
    size_t begin = 0, n = 0;  // in the arrays: n pairs, then n steps
  };
  parallel::Stage stage_;
  std::vector<Counted> blocks_;
  std::vector<layers::RoutingTotals> totals_;  // of each block
  std::vector<double> seconds_;                // of each layer
  int64_t n_steps_ = 0, n_logit_steps_ = 0;
  tensor::Buffer device_;
  std::vector<int64_t> host_, seen_;
};

}  // namespace polymath::model
