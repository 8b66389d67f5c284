#include "engine/sampling/rng.h"

#include <gtest/gtest.h>

#include <set>
#include <vector>

namespace polymath::engine {
namespace {

// Known answers of philox4x32-10, from the paper's reference implementation (Random123, kat_vectors).
TEST(Philox, GivesTheKnownAnswers) {
  EXPECT_EQ(philox4x32({0, 0, 0, 0}, {0, 0}),
            (std::array<uint32_t, 4>{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(philox4x32({0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}, {0xffffffff, 0xffffffff}),
            (std::array<uint32_t, 4>{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(philox4x32({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}),
            (std::array<uint32_t, 4>{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

double chi_square(const std::vector<int>& counts, double expected) {
  double sum = 0;
  for (const int count : counts) sum += (count - expected) * (count - expected) / expected;
  return sum;
}

// 255 degrees of freedom: the 0.1 % and 99.9 % quantiles are 190 and 330.
TEST(Uniform, IsUniformOverPositionsAndOverSeeds) {
  constexpr int kBins = 256, kDraws = 256 * 400;
  for (const uint64_t fixed : {uint64_t{0}, uint64_t{1}, uint64_t{0xdeadbeefcafe}}) {
    std::vector<int> by_position(kBins), by_seed(kBins), pairs(kBins);
    for (int i = 0; i < kDraws; ++i) {
      const double u = uniform(fixed, i), v = uniform(i, fixed), next = uniform(fixed, i + 1);
      ASSERT_TRUE(u >= 0 && u < 1 && v >= 0 && v < 1);
      ++by_position[static_cast<int>(u * kBins)];
      ++by_seed[static_cast<int>(v * kBins)];
      ++pairs[static_cast<int>(u * 16) * 16 + static_cast<int>(next * 16)];
    }
    for (const auto* counts : {&by_position, &by_seed, &pairs}) {
      const double chi = chi_square(*counts, double{kDraws} / kBins);
      EXPECT_GT(chi, 190);
      EXPECT_LT(chi, 330);
    }
  }
}

TEST(Uniform, EachArgumentMatters) {
  const std::set<double> values = {uniform(1, 2, 3),         uniform(2, 2, 3),          uniform(1, 3, 3),
                                   uniform(1, 2, 4),         uniform(1ull << 40, 2, 3), uniform(1, 1ull << 40, 3),
                                   uniform(1, 2, 1ull << 40)};
  EXPECT_EQ(values.size(), 7u);
}

}  // namespace
}  // namespace polymath::engine
