#include "parallel/expert_placement.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <random>
#include <set>

namespace polymath::parallel {
namespace {

struct Case {
  int n_experts;
  PlacementShape shape;
};

constexpr Case kCases[] = {
    {8, {2, 4, 1, 1}},  {8, {2, 5, 1, 1}},   {8, {4, 3, 1, 1}},   {8, {2, 8, 1, 1}},    {4, {4, 4, 1, 1}},
    {1, {2, 1, 1, 1}},  {64, {8, 9, 1, 8}},  {16, {4, 5, 2, 4}},  {256, {8, 36, 1, 8}}, {64, {8, 10, 2, 8}},
    {16, {4, 4, 2, 3}}, {12, {4, 4, 2, 12}}, {16, {4, 12, 2, 4}},
};

// A few experts take most of it: Zipf's law over a shuffle.
std::vector<double> skewed_loads(int n, uint32_t seed) {
  std::mt19937 random(seed);
  std::vector<double> loads(static_cast<size_t>(n));
  const double power = 0.25 * (seed % 9);
  for (int i = 0; i < n; ++i) loads[static_cast<size_t>(i)] = 1000 / std::pow(i + 1, power);
  std::shuffle(loads.begin(), loads.end(), random);
  if (seed % 5 == 4) std::fill_n(loads.begin(), n / 2, 0.0);  // some experts were never visited
  return loads;
}

void check_valid(const Case& c, const Placement& placement) {
  ASSERT_EQ(placement.size(), static_cast<size_t>(c.shape.n_ranks * c.shape.slots_per_rank));
  std::set<int32_t> placed(placement.begin(), placement.end());
  EXPECT_EQ(placed.size(), static_cast<size_t>(c.n_experts));
  EXPECT_GE(*placed.begin(), 0);
  EXPECT_LT(*placed.rbegin(), c.n_experts);
  const auto n = static_cast<size_t>(c.shape.slots_per_rank);
  for (size_t r = 0; r < placement.size(); r += n) {
    const std::set<int32_t> of_rank(placement.begin() + static_cast<std::ptrdiff_t>(r),
                                    placement.begin() + static_cast<std::ptrdiff_t>(r + n));
    EXPECT_EQ(of_rank.size(), n) << "an expert is twice on a rank";
  }
}

TEST(PlaceExperts, HoldsItsPropertiesUnderEverySeed) {
  for (const Case& c : kCases) {
    for (uint32_t seed = 0; seed < 100; ++seed) {
      SCOPED_TRACE(testing::Message() << c.n_experts << " experts, " << c.shape.n_ranks << " x "
                                      << c.shape.slots_per_rank << " slots, seed " << seed);
      const std::vector<double> loads = skewed_loads(c.n_experts, seed);
      const Placement placement = place_experts(loads, c.shape);
      check_valid(c, placement);
      EXPECT_EQ(placement, place_experts(loads, c.shape));
      const auto ranks = rank_loads(loads, placement, c.shape.n_ranks);
      const double sum = std::accumulate(loads.begin(), loads.end(), 0.0);
      EXPECT_NEAR(std::accumulate(ranks.begin(), ranks.end(), 0.0), sum, 1e-6 * sum);
      if (c.shape.n_nodes > 1) continue;
      // A copy is at most what the busiest expert has with a copy on each rank it may be on.
      const double mean = sum / c.shape.n_ranks, most = *std::max_element(loads.begin(), loads.end());
      EXPECT_LE(*std::max_element(ranks.begin(), ranks.end()), mean + most);
    }
  }
}

TEST(PlaceExperts, EvensSkewedLoads) {
  const struct {
    const char* what;
    std::vector<double> loads;
    PlacementShape shape;
    double imbalance_max;
  } cases[] = {
      {"busy experts lie together", {8, 8, 8, 8, 1, 1, 1, 1}, {2, 4}, 1.0},
      {"one expert has half of all: it gets a copy on each", {70, 10, 10, 10, 10, 10, 10, 10}, {2, 5}, 1.08},
      {"largest first alone gives 14 : 12; a swap evens it", {5, 5, 4, 4, 4, 4}, {2, 3}, 1.0},
      {"even loads", {1, 1, 1, 1, 1, 1, 1, 1}, {4, 2}, 1.0},
      {"every expert everywhere", {9, 1, 0, 0}, {4, 4}, 1.0},
      {"no load", {0, 0, 0, 0}, {2, 2}, 1.0},
  };
  for (const auto& c : cases) {
    const Placement placement = place_experts(c.loads, c.shape);
    EXPECT_LE(rank_imbalance(c.loads, placement, c.shape.n_ranks), c.imbalance_max + 1e-9) << c.what;
  }
}

TEST(PlaceExperts, KeepsGroupsOnOneNode) {
  for (uint32_t seed = 0; seed < 50; ++seed) {
    const Case c{64, {8, 10, 2, 8}};
    const Placement placement = place_experts(skewed_loads(c.n_experts, seed), c.shape);
    std::vector<std::set<int>> nodes_of_group(8);
    for (size_t p = 0; p < placement.size(); ++p) {
      nodes_of_group[static_cast<size_t>(placement[p] / 8)].insert(static_cast<int>(p / 40));
    }
    for (const auto& nodes : nodes_of_group) EXPECT_EQ(nodes.size(), 1u) << "seed " << seed;
  }
}

TEST(PlaceExperts, BeatsTheFirstPlacement) {
  double first = 0, placed = 0;
  for (uint32_t seed = 0; seed < 100; ++seed) {
    const PlacementShape shape{8, 9};
    const std::vector<double> loads = skewed_loads(64, seed);
    const double before = rank_imbalance(loads, first_placement(64, shape), 8);
    const double after = rank_imbalance(loads, place_experts(loads, shape), 8);
    EXPECT_LE(after, before + 1e-9) << "seed " << seed;
    first += before / 100, placed += after / 100;
  }
  EXPECT_GT(first, 2.0);
  EXPECT_LT(placed, 1.3);
}

TEST(KeepInPlace, MovesOnlyWhatMustMove) {
  const PlacementShape shape{2, 3};
  const Placement now{0, 1, 2, 3, 4, 5};
  EXPECT_EQ(keep_in_place(now, {5, 4, 3, 2, 1, 0}, shape), now);                            // the same ranks, renamed
  EXPECT_EQ(keep_in_place(now, {3, 4, 0, 5, 1, 2}, shape), (Placement{5, 1, 2, 3, 4, 0}));  // two change places
  for (const Case& c : kCases) {
    Placement at = first_placement(c.n_experts, c.shape);
    for (uint32_t seed = 0; seed < 20; ++seed) {
      const auto loads = skewed_loads(c.n_experts, seed);
      const Placement wanted = place_experts(loads, c.shape), kept = keep_in_place(at, wanted, c.shape);
      check_valid(c, kept);
      EXPECT_NEAR(rank_imbalance(loads, kept, c.shape.n_ranks), rank_imbalance(loads, wanted, c.shape.n_ranks), 1e-9);
      EXPECT_EQ(keep_in_place(kept, wanted, c.shape), kept);
      at = kept;
    }
  }
}

}  // namespace
}  // namespace polymath::parallel
