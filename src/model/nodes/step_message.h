#pragma once

// What node 0 asks of the other nodes, and what they answer, as bytes. All nodes run the same build, so numbers are as
// in memory. Everything is bounded and checked before it is used.
//
// Thread safety: none.

#include <cstddef>
#include <span>
#include <vector>

#include "backend/backend.h"
#include "base/status.h"
#include "model/batch_copy.h"
#include "model/loading/load.h"

namespace polymath::model {

using MessageBytes = std::vector<std::byte>;

// What a step may name: the largest step, and the size of what its indices point into.
struct StepBounds {
  backend::StepLimits step;
  int vocab = 0;
  int positions = 0;  // of one sequence
  int64_t n_blocks = 0;
  int block_size = 1;
  int n_state_slots = 0;  // 0: the model has no recurrent layers
  int n_adapters = 0;
};

// kInvalidArgument: an array's size or one of its values is out of bounds (named). Nodes sample no tokens.
absl::Status check_step(const Batch& batch, const StepBounds& bounds);

void write_step(const BatchCopy& step, MessageBytes& out);  // replaces `out`
// Reads it into `step`. kInvalidArgument: cut off, too long, or as check_step().
absl::Status read_step(std::span<const std::byte> bytes, const StepBounds& bounds, BatchCopy& step);

// The parts of StepLimits and CacheOptions that node 0 decides.
MessageBytes write_limits(const backend::StepLimits& limits);
absl::StatusOr<backend::StepLimits> read_limits(std::span<const std::byte> bytes);
MessageBytes write_cache(const CacheOptions& options);
// `type` is this node's own.
absl::StatusOr<CacheOptions> read_cache(std::span<const std::byte> bytes, const backend::KvType& type);

// What a rank took so far.
struct RankFacts {
  size_t weights = 0, scratch = 0, kv_cache = 0, graphs = 0;  // bytes
  size_t kv_block = 0, state = 0;                             // bytes of one block and of one state slot
  bool has_state = false;
};
MessageBytes write_facts(const RankFacts& facts);
absl::StatusOr<RankFacts> read_facts(std::span<const std::byte> bytes);

// The routers' counts of a rank's layers. The spans of what is read point into `kept`.
struct LoadsKept {
  std::vector<Model::ExpertLoad> loads;
  std::vector<std::vector<int64_t>> numbers;
};
MessageBytes write_loads(const std::vector<Model::ExpertLoad>& loads);
absl::Status read_loads(std::span<const std::byte> bytes, LoadsKept& kept);

}  // namespace polymath::model
