#pragma once

// Slots for weights, and their shapes. Each kind of layer lists its own.
//
//   SlotList slots;
//   slots.prefix = "layer.3.";
//   slots.matrix({"attn_out", {{hidden}}, n_heads * head_dim, {.unit = head_dim}});
//
// Shapes are those of the whole model. A slot's shards say which part a rank of the tensor group holds.

#include <string>
#include <vector>

#include "parallel/rank.h"
#include "quant/weight.h"

namespace polymath::layers {

// Rows of a slot that come from one tensor, or a part of one.
struct Piece {
  int64_t rows = 0;
  parallel::Shard shard;  // of the rows
  int64_t head_rows = 0;  // of a head whose halves are rotated against each other; 0: no such rows
};

// How a checkpoint holds a slot inside a tensor that is not the slot's alone.
struct StoredPart {
  // Rows that one group has in a tensor of all groups, and the slot's first among them. 0: the slot has them all.
  int64_t group_rows = 0, first_row = 0;
  int64_t taps = 1;  // elements of a vector that one channel of a convolution has
};

struct Slot {
  std::string name;           // "layer.3.qkv"
  int layer = -1;             // -1: of the whole model
  quant::WeightShape shape;   // cols 1: a vector
  std::vector<Piece> pieces;  // their rows add up to shape.rows
  quant::WeightUse use = quant::WeightUse::kLinear;
  parallel::Shard cols;    // how the columns are split
  parallel::Shard groups;  // how the groups (heads) are split
  bool experts = false;    // the groups are experts: under Rank::whole_experts they alone are split
  StoredPart stored;

  bool is_vector() const { return use == quant::WeightUse::kVector; }
};

// A slot whose pieces are stored in several formats may be kept as several weights. The first has the slot's name.
inline std::string part_name(const std::string& slot, int part) {
  return part == 0 ? slot : slot + "." + std::to_string(part);
}

// What one rank holds of a slot.
struct LocalSlot {
  quant::WeightShape shape;
  std::vector<parallel::Slice> pieces;  // of each piece's rows
  parallel::Slice cols, groups;         // of Rank::redundant_experts: groups past the last are the first ones again
};
LocalSlot local_slot(const Slot& slot, parallel::Rank rank);

// A matrix slot, as a layer describes it.
struct MatrixSlot {
  std::string name;
  std::vector<Piece> pieces;
  int64_t cols = 0;
  parallel::Shard cols_shard;
  int64_t groups = 1;
  parallel::Shard groups_shard;
  bool glu = false;
  quant::WeightUse use = quant::WeightUse::kLinear;
  StoredPart stored;
};

class SlotList {
 public:
  void matrix(MatrixSlot slot);
  void vector(std::string name, std::vector<Piece> pieces, int64_t groups = 1, StoredPart stored = {});

  std::vector<Slot> list;
  std::string prefix;
  int layer = -1;
};

}  // namespace polymath::layers
