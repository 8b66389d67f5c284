#pragma once

// The GPU: whether it is usable, its memory, its one stream, copies through pinned memory, its first failure.
//
// Everything runs on one stream, in order. Ops return nothing: health() reports the first failure. A failed device is
// not used again (ARCHITECTURE.md, section 8).
//
// Thread safety: none; one thread at a time, which has called use_on_this_thread() if the index is not 0.

#include <cuda_runtime_api.h>

#include <memory>
#include <string>

#include "base/status.h"
#include "tensor/tensor.h"

namespace polymath::backend::cuda {

class Device {
 public:
  // The GPU of an index, which the calling thread then uses.
  // kFailedPrecondition, with a sentence: no driver, an old driver, no such GPU, or one of another compute capability.
  static absl::StatusOr<std::unique_ptr<Device>> open(int index = 0);
  ~Device();
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;

  // CUDA's launches and allocations go to the GPU that a thread uses: at first the one of index 0.
  void use_on_this_thread();
  // Lets this GPU's kernels store into the other's memory. kFailedPrecondition: no path between them.
  absl::Status allow_access_to(const Device& peer);

  // Zeroed, aligned to 256 bytes. kResourceExhausted says what was asked for and what is free.
  absl::StatusOr<tensor::Buffer> allocate(size_t bytes);
  // Bytes asked of allocate() so far; freed ones still count.
  size_t allocated_bytes() const { return allocated_; }
  // Pinned host memory, for copies at full speed.
  absl::StatusOr<tensor::Buffer> allocate_pinned(size_t bytes);
  struct Memory {
    size_t free = 0, total = 0;
  };
  Memory memory() const;
  // 10^9 bytes a second that the GPU reads at best; 0: too little memory is free to measure.
  double measure_read_gbs();

  // `host` may be changed as soon as this returns.
  void copy_in(void* to, const void* host, size_t bytes);
  // Waits for the copy.
  void copy_out(void* host, const void* from, size_t bytes);

  void zero(void* to, size_t bytes);
  // Asynchronous; `host` is pinned. A later mark() that completes says that the copy has.
  void copy_out_later(void* host, const void* from, size_t bytes);
  absl::StatusOr<cudaEvent_t> make_event();
  void mark(cudaEvent_t event);
  void wait_for(cudaEvent_t event);

  // Launches between the two are captured instead of run.
  void begin_capture();
  absl::StatusOr<cudaGraphExec_t> end_capture();
  void launch(cudaGraphExec_t graph);

  // A piece of pinned memory, filled and then sent: at most kPieceBytes. One at a time.
  static constexpr size_t kPieceBytes = size_t{8} << 20;
  std::byte* piece(size_t bytes);
  void send_piece(void* to, size_t bytes);

  // To be called after the launches of an op: keeps the first failure with the op's name.
  void launched(const char* op);
  void wait();
  absl::Status health() const { return failure_; }

  cudaStream_t stream() const { return stream_; }
  int n_multiprocessors() const { return n_multiprocessors_; }
  const std::string& text() const { return text_; }  // for the log

 private:
  static constexpr int kPieces = 4;

  explicit Device(int index) : index_(index) {}
  absl::Status prepare();
  void keep(cudaError_t error, const char* what);

  const int index_;
  cudaStream_t stream_ = nullptr;
  int n_multiprocessors_ = 0;
  size_t allocated_ = 0;
  std::string text_;
  tensor::Buffer staging_;  // kPieces * kPieceBytes, filled one after the other
  cudaEvent_t sent_[kPieces] = {};
  int piece_ = 0;
  size_t piece_used_ = 0, piece_begin_ = 0;
  absl::Status failure_;
};

}  // namespace polymath::backend::cuda
