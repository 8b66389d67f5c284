#pragma once

// A sequence that is alone in its steps and owns the first blocks of the KV cache. For passes without an engine.

#include <cstdint>
#include <span>
#include <vector>

#include "model/loading/load.h"

namespace polymath::commands {

class OneSequence {
 public:
  // Of up to `tokens_max` tokens. The model outlives this, and its cache has that many tokens.
  OneSequence(const model::Transformer& model, int block_size, int tokens_max);

  enum class Logits { kLast, kAll };  // of a step's tokens
  // The next step: `tokens` after those of the steps before. Valid until the next call.
  model::Batch step(std::span<const int32_t> tokens, Logits logits);
  void restart() { computed_ = 0; }

 private:
  const bool has_state_;
  int computed_ = 0;
  std::vector<int32_t> tokens_, places_, starts_, lens_, rows_, table_, states_;
  std::vector<kvcache::StateCopy> cleared_;
};

}  // namespace polymath::commands
