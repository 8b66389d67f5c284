#pragma once

// Which experts of a layer each rank holds, so that measured loads are shared evenly. Mathematics only.
//
//   const Placement placement = place_experts(loads, {.n_ranks = 2, .slots_per_rank = 5});
//   placement[rank * 5 + i]      // the expert in the rank's slot i; a busy one may be on several ranks
//
// Greedy: the expert with the largest load a copy gets the next copy. The copies are then packed into ranks, largest
// first, and swapped while that lowers the busiest rank. Hierarchical: groups of experts are packed into nodes first,
// so that a token's groups stay on few nodes. Each node then shares its own experts greedily.
//
// Sources: EPLB of DeepSeek-V3 (arXiv:2412.19437, section 3.4), both algorithms; Graham 1969, largest first.

#include <cstdint>
#include <span>
#include <vector>

namespace polymath::parallel {

// [n_ranks * slots_per_rank]: the expert in each slot, rank by rank.
using Placement = std::vector<int32_t>;

struct PlacementShape {
  int n_ranks = 1;
  int slots_per_rank = 1;
  int n_nodes = 1;   // ranks of a node follow each other
  int n_groups = 1;  // experts of a group follow each other
};

// Slot p holds expert p % n_experts: the start, while no load is known.
Placement first_placement(int n_experts, const PlacementShape& shape);

// loads [n_experts] >= 0, of a window of steps. Every expert has a slot. No rank holds one twice.
// Hierarchical where the groups divide by several nodes, and every node has a slot for each of its experts.
// REQUIRES: n_experts <= n_ranks * slots_per_rank; slots_per_rank <= n_experts.
Placement place_experts(std::span<const double> loads, const PlacementShape& shape);

// `wanted` with ranks and slots renamed, so that it differs from `now` in few slots. The loads stay as even. Ranks
// change places within their node.
Placement keep_in_place(const Placement& now, const Placement& wanted, const PlacementShape& shape);

// The load of each rank: an expert's copies share its load evenly.
std::vector<double> rank_loads(std::span<const double> loads, const Placement& placement, int n_ranks);

// The busiest rank's load over the mean. 1: even, or no load.
double rank_imbalance(std::span<const double> loads, const Placement& placement, int n_ranks);

}  // namespace polymath::parallel
