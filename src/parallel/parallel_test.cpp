#include <gtest/gtest.h>

#include <functional>
#include <thread>

#include "parallel/communicator.h"

namespace polymath::parallel {
namespace {

using tensor::DType;
using tensor::Tensor;

TEST(SliceOf, SharesAnAxis) {
  const struct {
    int64_t elements, unit;
    Rank rank;
    int64_t begin, count;
  } cases[] = {
      {64, 0, {2, 1}, 0, 64},  // replicated
      {64, 16, {2, 1}, 32, 32},
      {64, 16, {4, 3}, 48, 16},
      {32, 16, {4, 0}, 0, 16},  // two heads over four ranks:
                                // neighbours share one
      {32, 16, {4, 1}, 0, 16},
      {32, 16, {4, 2}, 16, 16},
      {32, 16, {4, 3}, 16, 16},
      {16, 16, {2, 1}, 0, 16},
      {7, 1, {1, 0}, 0, 7},
  };
  for (const auto& c : cases) {
    const Slice s = slice_of(c.elements, {c.unit}, c.rank);
    EXPECT_EQ(s.begin, c.begin) << c.elements << " rank " << c.rank.at << " of " << c.rank.size;
    EXPECT_EQ(s.count, c.count);
  }
  EXPECT_FALSE(divides(3, {2, 0}));
  EXPECT_TRUE(divides(1, {2, 0}));
}

void on_every_rank(int size, const std::function<void(Communicator&)>& body) {
  auto group = host_communicators(size);
  std::vector<std::thread> threads;
  for (auto& c : group) threads.emplace_back([&body, &c] { body(*c); });
  for (auto& t : threads) t.join();
}

std::vector<float> part_of(int rank) {
  std::vector<float> x(37);
  for (size_t i = 0; i < x.size(); ++i) x[i] = 0.1f * static_cast<float>(rank + 1) + static_cast<float>(i);
  return x;
}

std::vector<float> sum_of_parts(int size) {
  std::vector<float> sum(37);
  for (int r = 0; r < size; ++r) {
    const std::vector<float> part = part_of(r);
    for (size_t i = 0; i < sum.size(); ++i) sum[i] += part[i];
  }
  return sum;
}

TEST(HostCommunicator, SumsInOrderOfTheRanks) {
  for (const int size : {1, 2, 3, 4}) {
    on_every_rank(size, [&](Communicator& c) {
      for (int round = 0; round < 50; ++round) {
        std::vector<float> x = part_of(c.rank().at);
        c.all_reduce_sum({DType::kF32, {37}, x.data()});
        ASSERT_EQ(x, sum_of_parts(size));
      }
    });
  }
}

TEST(HostCommunicator, GathersColumns) {
  on_every_rank(3, [](Communicator& c) {
    std::vector<float> part = {10.0f * c.rank().at, 10.0f * c.rank().at + 1, 10.0f * c.rank().at + 100,
                               10.0f * c.rank().at + 101};
    std::vector<float> all(12);
    c.all_gather_cols({DType::kF32, {2, 2}, part.data()}, {DType::kF32, {2, 6}, all.data()});
    EXPECT_EQ(all, (std::vector<float>{0, 1, 10, 11, 20, 21, 100, 101, 110, 111, 120, 121}));
  });
}

}  // namespace
}  // namespace polymath::parallel
