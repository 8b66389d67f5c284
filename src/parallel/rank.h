#pragma once

// A rank's place in its group and among the pipeline stages, and its share of an axis.
//
// One device is a group of one rank, which holds everything.

#include <cstdint>
#include <string>
#include <vector>

#include "base/status.h"

namespace polymath::parallel {

// A pipeline stage: some consecutive layers of the model. Each stage has a group of ranks of its own. The first stage
// has the embedding, the last one the final norm and the head.
struct Stage {
  int size = 1;  // stages
  int at = 0;    // in [0, size)
  int first_layer = 0;
  int n_layers = -1;  // -1: all from first_layer on
  bool first() const { return at == 0; }
  bool last() const { return at + 1 == size; }
  bool has_layer(int layer) const { return layer >= first_layer && (n_layers < 0 || layer < first_layer + n_layers); }
};

// One a stage, by the layers of each. Empty: one stage, of all layers.
std::vector<Stage> stages_of(const std::vector<int>& layers);
// As even as can be. Layers that are left over go to stages before the last one, since that one has the head.
// REQUIRES: 1 <= n_stages <= n_layers.
std::vector<int> even_stages(int n_layers, int n_stages);

struct Rank {
  int size = 1;
  int at = 0;  // in [0, size)
  // Expert parallelism: each rank has whole experts of its own. Else each rank has a part of every expert.
  bool whole_experts = false;
  // Under whole_experts: experts move between ranks while steps run. Each rank keeps memory to move one layer's into.
  bool moves_experts = false;
  // Under whole_experts: all but the experts is whole on every rank. Each rank has tokens of its own.
  bool own_tokens = false;
  int redundant_experts = 0;  // under moves_experts: further copies of a layer's experts, over all ranks
  Stage stage = {};           // whose layers the group holds
  bool first() const { return at == 0; }
  // For all that is not an expert.
  Rank of_layers() const { return own_tokens ? Rank{.stage = stage} : *this; }
};

// Elements [begin, begin + count) of an axis.
struct Slice {
  int64_t begin = 0;
  int64_t count = 0;
};

// How a weight's axis is split over a group. Runs of `unit` elements stay together.
struct Shard {
  int64_t unit = 0;  // 0: every rank holds the whole axis
};

// Whether `units` parts can be shared evenly. Each rank holds equally many, or equally many ranks hold each.
bool divides(int64_t units, Rank rank);

// This rank's share of an axis of `elements`. Contiguous; fewer units than ranks: neighbours hold the same one.
// REQUIRES: elements % unit == 0, divides(elements / unit, rank).
Slice slice_of(int64_t elements, Shard shard, Rank rank);

}  // namespace polymath::parallel
