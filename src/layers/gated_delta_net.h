#pragma once

// Gated delta net (arXiv:2412.06464) as in Qwen3-Next. A short causal convolution precedes a linear recurrence, whose
// state is one matrix a head. It keeps no keys and values, so a token costs the same in any context.

#include <memory>
#include <string>

#include "layers/attention_layer.h"
#include "layers/builder.h"

namespace polymath::layers {

struct GatedDeltaNet {
  backend::DeltaNetShape shape;

  absl::Status check() const;
  void add_slots(SlotList& slots, int64_t hidden) const;
  kvcache::CacheSpec cache() const;
  void reserve(StepNeeds& needs) const;
  absl::Status split(parallel::Rank rank);
  // kUnimplemented: the backend has no such op.
  absl::StatusOr<std::unique_ptr<AttentionLayer>> make(const LayerBuilder& builder) const;
  std::string text() const;  // "gated delta net, 32 heads of 128 over 16 of 128"
};

}  // namespace polymath::layers
