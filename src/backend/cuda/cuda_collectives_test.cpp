// Ranks on two GPUs: sums and gathers of many sizes, again and again. Skipped, with the reason, without two GPUs.

#include <gtest/gtest.h>

#include <functional>
#include <thread>

#include "backend/communicators.h"
#include "backend/cuda/cuda_backend.h"

namespace polymath::backend {
namespace {

class CudaCollectives : public testing::Test {
 protected:
  void SetUp() override {
    for (int at = 0; at < 2; ++at) {
      auto made = make_cuda_backend({.threads = 1, .device = at});
      if (!made.ok()) GTEST_SKIP() << made.status().message();
      backends_.push_back(*std::move(made));
      ranks_.push_back(backends_.back().get());
    }
    auto communicators = make_communicators(ranks_);
    if (!communicators.ok()) GTEST_SKIP() << communicators.status().message();
    communicators_ = *std::move(communicators);
  }

  using Body = std::function<void(Backend&, parallel::Communicator&)>;
  void on_every_rank(const Body& body) {
    std::vector<std::thread> threads;
    for (size_t r = 0; r < ranks_.size(); ++r) {
      threads.emplace_back([&, r] {
        ranks_[r]->use_on_this_thread();
        body(*ranks_[r], *communicators_[r]);
        EXPECT_TRUE(ranks_[r]->health().ok()) << ranks_[r]->health();
      });
    }
    for (auto& t : threads) t.join();
  }

  std::vector<std::unique_ptr<Backend>> backends_;
  std::vector<Backend*> ranks_;
  std::vector<std::unique_ptr<parallel::Communicator>> communicators_;
};

float value_of(int rank, int round, int64_t i) {
  return 0.37f * static_cast<float>(rank + 1) + static_cast<float>((i * 7 + round * 13) % 1009);
}

std::vector<float> part_of(int rank, int round, int64_t n) {
  std::vector<float> x(static_cast<size_t>(n));
  for (int64_t i = 0; i < n; ++i) x[static_cast<size_t>(i)] = value_of(rank, round, i);
  return x;
}

constexpr int kRounds = 20;

TEST_F(CudaCollectives, SumsInOrderOfTheRanks) {
  on_every_rank([](Backend& backend, parallel::Communicator& c) {
    for (const int64_t n : {1, 3, 64, 2048, 4096, 131072, 131073, 1300000, 5000000}) {
      const Buffer memory = backend.allocate(static_cast<size_t>(n) * sizeof(float)).value();
      const Tensor x{DType::kF32, {n}, memory.data()};
      for (int round = 0; round < kRounds; ++round) {
        backend.copy_in(x, part_of(c.rank().at, round, n).data());
        c.all_reduce_sum(x);
        std::vector<float> sum(static_cast<size_t>(n)), expected = part_of(0, round, n);
        backend.copy_out(sum.data(), x);
        for (int64_t i = 0; i < n; ++i) expected[static_cast<size_t>(i)] += value_of(1, round, i);
        ASSERT_TRUE(sum == expected) << n << " floats, round " << round << ", rank " << c.rank().at;
      }
    }
  });
}

TEST_F(CudaCollectives, GathersColumns) {
  struct Size {
    int64_t rows, cols;
  };
  on_every_rank([](Backend& backend, parallel::Communicator& c) {
    for (const Size size : {Size{1, 3}, Size{1, 75968}, Size{33, 1000}, Size{40, 1001}, Size{128, 75968}}) {
      const auto bytes = static_cast<size_t>(size.rows * size.cols) * sizeof(float);
      const Buffer part = backend.allocate(bytes).value(), all = backend.allocate(2 * bytes).value();
      const Tensor from{DType::kF32, {size.rows, size.cols}, part.data()},
          to{DType::kF32, {size.rows, 2 * size.cols}, all.data()};
      backend.copy_in(from, part_of(c.rank().at, 0, size.rows * size.cols).data());
      c.all_gather_cols(from, to);
      std::vector<float> got(static_cast<size_t>(2 * size.rows * size.cols));
      backend.copy_out(got.data(), to);
      for (int64_t i = 0; i < 2 * size.rows * size.cols; ++i) {
        const int64_t row = i / (2 * size.cols), col = i % (2 * size.cols);
        const float want = value_of(col < size.cols ? 0 : 1, 0, row * size.cols + col % size.cols);
        ASSERT_EQ(got[static_cast<size_t>(i)], want) << size.rows << " x " << size.cols << ", element " << i;
      }
    }
  });
}

}  // namespace
}  // namespace polymath::backend
