#pragma once

// Pinned memory for a step's results, and the event of their arrival.
//
// Thread safety: none; one thread at a time.

#include "backend/cuda/device.h"

namespace polymath::backend::cuda {

class ResultSlot {
 public:
  ResultSlot() = default;
  ResultSlot(const ResultSlot&) = delete;
  ResultSlot& operator=(const ResultSlot&) = delete;
  ~ResultSlot() {
    if (there_ != nullptr) cudaEventDestroy(there_);
  }

  absl::Status reserve(Device& device, size_t bytes) {
    ASSIGN_OR_RETURN(memory_, device.allocate_pinned(bytes));
    ASSIGN_OR_RETURN(there_, device.make_event());
    return absl::OkStatus();
  }

  // Backend::enqueue_readback: results lie one after another, restarting after await_readback().
  tensor::Tensor enqueue_readback(Device& device, const tensor::Tensor& from) {
    if (collected_) used_ = 0;
    collected_ = false;
    CHECK(from.row_gap == 0 && used_ + from.bytes() <= memory_.bytes());
    auto* to = static_cast<std::byte*>(memory_.data()) + used_;
    used_ += from.bytes();
    device.copy_out_later(to, from.data, from.bytes());
    device.mark(there_);
    return {from.dtype, from.shape, to};
  }

  void await_readback(Device& device) {
    device.wait_for(there_);
    collected_ = true;
  }

 private:
  tensor::Buffer memory_;
  size_t used_ = 0;
  bool collected_ = true;
  cudaEvent_t there_ = nullptr;
};

}  // namespace polymath::backend::cuda
