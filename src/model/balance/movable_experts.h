#pragma once

// A rank's routed blocks, and spare memory for one layer of them.
//
//   experts.copy({block, 0}, other_rank, 3);        // its slot 3 to slot 0 of the spare; steps may run
//   experts.switch_to(block, placement, rank);      // between two steps: the spare has become the block's experts
//
// The memory that the block had is the spare then. Layers whose experts differ in shape or format have spares of their
// own.
//
// Thread safety: copy() by one thread, beside steps. The rest by the thread that drives the steps, between them.

#include <compare>
#include <cstdint>
#include <map>
#include <vector>

#include "backend/backend.h"
#include "layers/feed_forward.h"

namespace polymath::model {

// Which weights one spare serves.
struct SpareKind {
  enum class Part { kGateUp, kDown, kGateUpBias, kDownBias };
  Part part = Part::kGateUp;
  int64_t groups = 0, rows = 0, cols = 0;
  const quant::QuantFormat* format = nullptr;  // null: a vector
  auto operator<=>(const SpareKind&) const = default;
};

class MovableExperts {
 public:
  // Finds the blocks whose experts may move, and allocates their spares. `layers` keep their places.
  // kResourceExhausted: no memory.
  absl::Status attach(backend::Backend& backend, const std::vector<layers::FeedForward*>& layers);

  struct Block {
    int layer = 0;
    layers::MoeLayer* moe = nullptr;
  };
  const std::vector<Block>& blocks() const { return blocks_; }
  struct Slot {
    size_t block = 0;  // in blocks()
    int slot = 0;
  };
  // Bytes of one expert.
  size_t expert_bytes(size_t block) const;
  void copy(Slot to, const MovableExperts& from, int from_slot);
  // REQUIRES: every slot of the spare was copied for this block since the last switch.
  void switch_to(size_t block, const parallel::Placement& placement, parallel::Rank rank);

 private:
  struct Spares {
    quant::Weight *gate_up, *down;
    const float **gate_up_bias, **down_bias;  // null: the block has none
  };
  absl::Status add_spares(const layers::MoeLayer& moe);
  Spares spares_of(const layers::MoeLayer& moe);

  backend::Backend* backend_ = nullptr;
  std::vector<Block> blocks_;
  std::map<SpareKind, quant::Weight> matrices_;
  std::map<SpareKind, const float*> vectors_;
  std::vector<tensor::Buffer> owned_;  // under the vectors, before the first switch
};

}  // namespace polymath::model
