// Ranks as threads of one process. They read each other's tensors between barriers.

#include <atomic>
#include <condition_variable>
#include <cstring>
#include <mutex>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "parallel/communicator.h"

namespace polymath::parallel {
namespace {

using tensor::DType;
using tensor::Tensor;

// Spins for a moment, then sleeps. Ranks usually arrive within microseconds of each other.
class Barrier {
 public:
  explicit Barrier(int size) : size_(size) {}

  // False, on every rank: abort() came before the last one.
  bool wait() {
    const uint64_t turn = turn_.load(std::memory_order_acquire) / kTurn;
    if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 == size_) {
      arrived_.store(0, std::memory_order_relaxed);
      uint64_t open = turn * kTurn;
      const bool passed = turn_.compare_exchange_strong(open, (turn + 1) * kTurn, std::memory_order_acq_rel);
      turn_.notify_all();
      return passed;
    }
    constexpr int kSpins = 2000;
    for (int spins = 0;; ++spins) {
      const uint64_t now = turn_.load(std::memory_order_acquire);
      if (now / kTurn != turn) return true;
      if (now % kTurn != 0) return false;
      if (spins >= kSpins) turn_.wait(now, std::memory_order_acquire);
    }
  }
  void abort() {
    turn_.fetch_or(1, std::memory_order_acq_rel);
    turn_.notify_all();
  }

 private:
  static constexpr uint64_t kTurn = 2;  // the lowest bit: aborted

  const int size_;
  std::atomic<int> arrived_{0};
  std::atomic<uint64_t> turn_{0};
};

std::string text(int rank, const Tensor& x) { return absl::StrCat("rank ", rank, " gave ", x.shape.text()); }

struct Group {
  explicit Group(int n)
      : size(n), arrive(n), leave(n), parts(static_cast<size_t>(n)), offers(parts.size() * parts.size()) {}

  void abort(const absl::Status& why) {
    {
      const std::lock_guard lock(mutex);
      if (status.ok()) status = why;
    }
    arrive.abort();
    changed.notify_all();
  }

  // Waits for all ranks' tensors. True: they are in `parts`, and leave.wait() is due.
  bool gather(int rank, const Tensor& part, const char* operation) {
    parts[static_cast<size_t>(rank)] = part;
    if (!arrive.wait()) return false;
    for (int r = 1; r < size; ++r) {
      const Tensor &first = parts.front(), &other = parts[static_cast<size_t>(r)];
      if (other.shape == first.shape) continue;
      abort(absl::InternalError(
          absl::StrCat("the parts of ", operation, " differ: ", text(0, first), ", ", text(r, other))));
      leave.wait();
      return false;
    }
    return true;
  }

  const int size;
  Barrier arrive, leave;      // before and after the ranks read `parts`; nothing aborts the second
  std::vector<Tensor> parts;  // by rank, of the operation under way

  std::mutex mutex;  // of all below it
  std::condition_variable changed;
  std::vector<const Tensor*> offers;  // [from * size + to]: what a sender holds out; null: nothing
  absl::Status status;
};

class HostCommunicator : public Communicator {
 public:
  HostCommunicator(std::shared_ptr<Group> group, Rank rank) : group_(std::move(group)), rank_(rank) {}

  Rank rank() const override { return rank_; }

  // Each rank sums one stretch of all tensors, and writes the sums to all.
  void all_reduce_sum(const Tensor& x) override {
    CHECK(x.dtype == DType::kF32 && x.row_gap == 0);
    if (!group_->gather(rank_.at, x, "a sum")) return;
    const int64_t n = x.shape.elements(), begin = n * rank_.at / rank_.size, end = n * (rank_.at + 1) / rank_.size;
    for (int64_t i = begin; i < end; ++i) {
      float sum = 0;
      for (const Tensor& part : group_->parts) sum += part.as<float>()[i];
      for (const Tensor& part : group_->parts) part.as<float>()[i] = sum;
    }
    group_->leave.wait();
  }

  void all_gather_cols(const Tensor& part, const Tensor& all) override {
    CHECK(all.rows() == part.rows() && all.cols() == rank_.size * part.cols());
    if (!group_->gather(rank_.at, part, "a gather")) return;
    const int64_t cols = part.cols();
    for (int r = 0; r < rank_.size; ++r) {
      const Tensor& from = group_->parts[static_cast<size_t>(r)];
      for (int64_t i = 0; i < part.rows(); ++i) {
        std::memcpy(all.f32() + i * all.stride() + r * cols, from.f32() + i * from.stride(),
                    static_cast<size_t>(cols) * sizeof(float));
      }
    }
    group_->leave.wait();
  }

  void send(const Tensor& x, int to) override {
    CHECK(x.dtype == DType::kF32 && x.row_gap == 0 && to != rank_.at);
    const Tensor*& offer = group_->offers[static_cast<size_t>(rank_.at * rank_.size + to)];
    std::unique_lock lock(group_->mutex);
    offer = &x;
    group_->changed.notify_all();
    group_->changed.wait(lock, [&] { return offer == nullptr || !group_->status.ok(); });
    offer = nullptr;
  }

  // The sender waits, so its tensor stays as it is. The mutex is held for the copy, so that abort() waits for it.
  void receive(const Tensor& x, int from) override {
    CHECK(x.dtype == DType::kF32 && x.row_gap == 0 && from != rank_.at);
    const Tensor*& offer = group_->offers[static_cast<size_t>(from * rank_.size + rank_.at)];
    std::unique_lock lock(group_->mutex);
    group_->changed.wait(lock, [&] { return offer != nullptr || !group_->status.ok(); });
    if (!group_->status.ok()) return;
    if (offer->shape == x.shape) {
      std::memcpy(x.data, offer->data, x.bytes());
      offer = nullptr;
    } else {
      group_->status = absl::InternalError(absl::StrCat("a message does not fit: ", text(from, *offer), ", rank ",
                                                        rank_.at, " expects ", x.shape.text()));
      group_->arrive.abort();
    }
    group_->changed.notify_all();
  }

  void abort(const absl::Status& reason) override { group_->abort(reason); }
  absl::Status health() const override {
    const std::lock_guard lock(group_->mutex);
    return group_->status;
  }

 private:
  const std::shared_ptr<Group> group_;
  const Rank rank_;
};

class LoneCommunicator : public Communicator {
 public:
  Rank rank() const override { return {}; }
  void all_reduce_sum(const Tensor&) override {}
  void all_gather_cols(const Tensor& part, const Tensor& all) override { CHECK(part.data == all.data); }
  void send(const Tensor&, int) override { CHECK(false && "a group of one has no peer"); }
  void receive(const Tensor&, int) override { CHECK(false && "a group of one has no peer"); }
  void abort(const absl::Status&) override {}
  absl::Status health() const override { return absl::OkStatus(); }
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
