// Ranks as threads of one process. They read each other's tensors between barriers.

#include <atomic>
#include <cstring>
#include <thread>

#include "base/check.h"
#include "parallel/communicator.h"

namespace polymath::parallel {
namespace {

using tensor::DType;
using tensor::Tensor;

// Spins for a moment, then yields. Ranks usually arrive within microseconds of each other.
class Barrier {
 public:
  explicit Barrier(int size) : size_(size) {}

  void wait() {
    const uint64_t turn = turn_.load(std::memory_order_acquire);
    if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 == size_) {
      arrived_.store(0, std::memory_order_relaxed);
      turn_.store(turn + 1, std::memory_order_release);
      return;
    }
    constexpr int kSpins = 2000;
    for (int spins = 0; turn_.load(std::memory_order_acquire) == turn; ++spins) {
      if (spins >= kSpins) std::this_thread::yield();
    }
  }

 private:
  const int size_;
  std::atomic<int> arrived_{0};
  std::atomic<uint64_t> turn_{0};
};

struct Group {
  explicit Group(int size) : barrier(size), parts(static_cast<size_t>(size)) {}
  Barrier barrier;
  std::vector<Tensor> parts;  // by rank, of the operation under way
};

class HostCommunicator : public Communicator {
 public:
  HostCommunicator(std::shared_ptr<Group> group, Rank rank) : group_(std::move(group)), rank_(rank) {}

  Rank rank() const override { return rank_; }

  // Each rank sums one stretch of all tensors, and writes the sums to all.
  void all_reduce_sum(const Tensor& x) override {
    CHECK(x.dtype == DType::kF32 && x.row_gap == 0);
    publish(x);
    const int64_t n = x.shape.elements(), begin = n * rank_.at / rank_.size, end = n * (rank_.at + 1) / rank_.size;
    for (int64_t i = begin; i < end; ++i) {
      float sum = 0;
      for (const Tensor& part : group_->parts) sum += part.as<float>()[i];
      for (const Tensor& part : group_->parts) part.as<float>()[i] = sum;
    }
    group_->barrier.wait();
  }

  void all_gather_cols(const Tensor& part, const Tensor& all) override {
    CHECK(all.rows() == part.rows() && all.cols() == rank_.size * part.cols());
    publish(part);
    const int64_t cols = part.cols();
    for (int r = 0; r < rank_.size; ++r) {
      const Tensor& from = group_->parts[static_cast<size_t>(r)];
      for (int64_t i = 0; i < part.rows(); ++i) {
        std::memcpy(all.f32() + i * all.stride() + r * cols, from.f32() + i * from.stride(),
                    static_cast<size_t>(cols) * sizeof(float));
      }
    }
    group_->barrier.wait();
  }

 private:
  // After this every rank's tensor may be read.
  void publish(const Tensor& part) {
    group_->parts[static_cast<size_t>(rank_.at)] = part;
    group_->barrier.wait();
    CHECK(group_->parts.front().shape == part.shape);
  }

  const std::shared_ptr<Group> group_;
  const Rank rank_;
};

class LoneCommunicator : public Communicator {
 public:
  Rank rank() const override { return {}; }
  void all_reduce_sum(const Tensor&) override {}
  void all_gather_cols(const Tensor& part, const Tensor& all) override { CHECK(part.data == all.data); }
};

}  // namespace

std::unique_ptr<Communicator> lone_communicator() { return std::make_unique<LoneCommunicator>(); }

std::vector<std::unique_ptr<Communicator>> host_communicators(int size) {
  CHECK(size >= 1);
  const auto group = std::make_shared<Group>(size);
  std::vector<std::unique_ptr<Communicator>> out;
  for (int r = 0; r < size; ++r) out.push_back(std::make_unique<HostCommunicator>(group, Rank{size, r}));
  return out;
}

}  // namespace polymath::parallel
