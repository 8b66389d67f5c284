#include "backend/cuda/device.h"

#include <algorithm>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "backend/cuda/cuda_backend.h"
#include "backend/cuda/probe.h"
#include "base/clock.h"
#include "base/log.h"

namespace polymath::backend::cuda {
namespace {

constexpr int kMajor = 9, kMinor = 0;  // compute capability that the kernels are built for
constexpr size_t kAlignment = 256;     // of pieces within the staging memory

std::string version_text(int version) { return absl::StrCat(version / 1000, ".", version % 1000 / 10); }
std::string gib_text(size_t bytes) { return absl::StrCat(static_cast<double>(bytes >> 20) / 1024.0, " GiB"); }

absl::Status check_driver(int index) {
  int driver = 0, n = 0;
  if (cudaDriverGetVersion(&driver) != cudaSuccess || driver == 0) {
    return absl::FailedPreconditionError("no NVIDIA driver is installed here (libcuda.so.1 was not found)");
  }
  if (driver < CUDART_VERSION / 1000 * 1000) {
    return absl::FailedPreconditionError(absl::StrCat("the NVIDIA driver knows CUDA ", version_text(driver),
                                                      "; this build needs ", version_text(CUDART_VERSION),
                                                      " or newer: update the driver"));
  }
  const cudaError_t error = cudaGetDeviceCount(&n);
  if (error != cudaSuccess || n == 0) {
    return absl::FailedPreconditionError(absl::StrCat("no NVIDIA GPU can be used here",
                                                      error == cudaSuccess ? "" : ": ",
                                                      error == cudaSuccess ? "" : cudaGetErrorString(error)));
  }
  if (index >= n) {
    return absl::FailedPreconditionError(absl::StrCat("GPU ", index, " is not here; this machine has ", n));
  }
  return absl::OkStatus();
}

// Restores the thread's GPU.
class CurrentDevice {
 public:
  explicit CurrentDevice(int index) {
    cudaGetDevice(&before_);
    if (before_ != index) cudaSetDevice(index);
  }
  ~CurrentDevice() { cudaSetDevice(before_); }

 private:
  int before_ = 0;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Device>> Device::open(int index) {
  RETURN_IF_ERROR(check_driver(index));
  std::unique_ptr<Device> device(new Device(index));
  RETURN_IF_ERROR(device->prepare());
  return device;
}

absl::Status Device::prepare() {
  cudaDeviceProp card;
  cudaError_t error = cudaGetDeviceProperties(&card, index_);
  if (error == cudaSuccess && (card.major != kMajor || card.minor != kMinor)) {
    return absl::FailedPreconditionError(absl::StrCat("the GPU is a ", card.name, " of compute capability ", card.major,
                                                      ".", card.minor, "; this build has kernels for ", kMajor, ".",
                                                      kMinor, " (H100, H200) alone"));
  }
  if (error == cudaSuccess) error = cudaSetDevice(index_);
  if (error == cudaSuccess) error = cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking);
  for (cudaEvent_t& event : sent_) {
    if (error == cudaSuccess) error = cudaEventCreateWithFlags(&event, cudaEventDisableTiming);
  }
  if (error != cudaSuccess) {
    return absl::FailedPreconditionError(absl::StrCat("the GPU cannot be used: ", cudaGetErrorString(error)));
  }
  n_multiprocessors_ = card.multiProcessorCount;
  text_ = absl::StrCat(card.name, ", ", gib_text(card.totalGlobalMem));
  ASSIGN_OR_RETURN(staging_, allocate_pinned(kPieces * kPieceBytes));
  return absl::OkStatus();
}

void Device::use_on_this_thread() { keep(cudaSetDevice(index_), "cudaSetDevice"); }

absl::Status Device::allow_access_to(const Device& peer) {
  if (peer.index_ == index_) return absl::OkStatus();
  const CurrentDevice here(index_);
  int can = 0;
  cudaError_t error = cudaDeviceCanAccessPeer(&can, index_, peer.index_);
  if (error == cudaSuccess && can != 0) error = cudaDeviceEnablePeerAccess(peer.index_, 0);
  if (error == cudaErrorPeerAccessAlreadyEnabled) cudaGetLastError(), error = cudaSuccess;
  if (error == cudaSuccess && can != 0) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat("GPU ", index_, " cannot reach the memory of GPU ", peer.index_,
                                                    can != 0 ? std::string(": ") + cudaGetErrorString(error) : ""));
}

Device::~Device() {
  if (stream_ != nullptr) cudaStreamSynchronize(stream_);
  for (const cudaEvent_t event : sent_) {
    if (event != nullptr) cudaEventDestroy(event);
  }
  if (stream_ != nullptr) cudaStreamDestroy(stream_);
}

absl::StatusOr<tensor::Buffer> Device::allocate(size_t bytes) {
  void* data = nullptr;
  allocated_ += bytes;
  const size_t size = std::max(bytes, kAlignment);
  const cudaError_t error = cudaMalloc(&data, size);
  if (error != cudaSuccess) {
    cudaGetLastError();  // reported here, not by the next launch
    if (error != cudaErrorMemoryAllocation) keep(error, "cudaMalloc");
    return absl::ResourceExhaustedError(
        absl::StrCat(gib_text(size), " of device memory cannot be had; ", gib_text(memory().free), " are free"));
  }
  keep(cudaMemsetAsync(data, 0, size, stream_), "cudaMemsetAsync");
  return tensor::Buffer(data, size, [](void* p, size_t) { cudaFree(p); });
}

void Device::zero(void* to, size_t bytes) { keep(cudaMemsetAsync(to, 0, bytes, stream_), "cudaMemsetAsync"); }

absl::StatusOr<tensor::Buffer> Device::allocate_pinned(size_t bytes) {
  void* data = nullptr;
  if (cudaMallocHost(&data, bytes) != cudaSuccess) {
    cudaGetLastError();
    return absl::ResourceExhaustedError(absl::StrCat(gib_text(bytes), " of pinned host memory cannot be had"));
  }
  std::memset(data, 0, bytes);
  return tensor::Buffer(data, bytes, [](void* p, size_t) { cudaFreeHost(p); });
}

Device::Memory Device::memory() const {
  const CurrentDevice here(index_);
  Memory memory;
  return cudaMemGetInfo(&memory.free, &memory.total) == cudaSuccess ? memory : Memory{};
}

double Device::measure_read_gbs() {
  constexpr size_t kBytes = size_t{4} << 30;
  constexpr int kRuns = 5;
  auto memory = allocate(kBytes);
  if (!memory.ok()) return 0;
  const auto read = [&] {
    read_all(memory->data(), kBytes, static_cast<float*>(memory->data()), n_multiprocessors_, stream_);
  };
  read();
  wait();
  const double begin = base::steady_seconds();
  for (int i = 0; i < kRuns; ++i) read();
  wait();
  return static_cast<double>(kBytes) * kRuns / (base::steady_seconds() - begin) / 1e9;
}

std::byte* Device::piece(size_t bytes) {
  CHECK(bytes <= kPieceBytes);
  if (piece_used_ + bytes > kPieceBytes) {
    keep(cudaEventRecord(sent_[piece_], stream_), "cudaEventRecord");
    piece_ = (piece_ + 1) % kPieces;
    piece_used_ = 0;
    keep(cudaEventSynchronize(sent_[piece_]), "cudaEventSynchronize");  // its previous contents are on the device
  }
  piece_begin_ = piece_used_;
  piece_used_ = std::min(kPieceBytes, piece_used_ + (bytes + kAlignment - 1) / kAlignment * kAlignment);
  return static_cast<std::byte*>(staging_.data()) + static_cast<size_t>(piece_) * kPieceBytes + piece_begin_;
}

void Device::send_piece(void* to, size_t bytes) {
  const auto* from =
      static_cast<std::byte*>(staging_.data()) + static_cast<size_t>(piece_) * kPieceBytes + piece_begin_;
  keep(cudaMemcpyAsync(to, from, bytes, cudaMemcpyHostToDevice, stream_), "copy to the device");
}

void Device::copy_in(void* to, const void* host, size_t bytes) {
  for (size_t done = 0; done < bytes;) {
    const size_t part = std::min(bytes - done, kPieceBytes);
    std::memcpy(piece(part), static_cast<const std::byte*>(host) + done, part);
    send_piece(static_cast<std::byte*>(to) + done, part);
    done += part;
  }
}

void Device::copy_out(void* host, const void* from, size_t bytes) {
  keep(cudaMemcpyAsync(host, from, bytes, cudaMemcpyDeviceToHost, stream_), "copy to the host");
  wait();
}

void Device::copy_out_later(void* host, const void* from, size_t bytes) {
  keep(cudaMemcpyAsync(host, from, bytes, cudaMemcpyDeviceToHost, stream_), "copy to the host");
}

absl::StatusOr<cudaEvent_t> Device::make_event() {
  cudaEvent_t event = nullptr;
  const cudaError_t error = cudaEventCreateWithFlags(&event, cudaEventDisableTiming);
  if (error != cudaSuccess) return absl::InternalError(absl::StrCat("CUDA: an event: ", cudaGetErrorString(error)));
  return event;
}

void Device::mark(cudaEvent_t event) { keep(cudaEventRecord(event, stream_), "cudaEventRecord"); }

void Device::wait_for(cudaEvent_t event) { keep(cudaEventSynchronize(event), "a kernel of this step"); }

// Relaxed: the first use of a kernel may load its module meanwhile.
void Device::begin_capture() {
  keep(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeRelaxed), "cudaStreamBeginCapture");
}

absl::StatusOr<cudaGraphExec_t> Device::end_capture() {
  cudaGraph_t graph = nullptr;
  cudaGraphExec_t ready = nullptr;
  cudaError_t error = cudaStreamEndCapture(stream_, &graph);
  if (error == cudaSuccess) error = cudaGraphInstantiate(&ready, graph, 0);
  if (graph != nullptr) cudaGraphDestroy(graph);
  if (error == cudaSuccess) error = cudaGraphUpload(ready, stream_);
  RETURN_IF_ERROR(failure_);
  if (error != cudaSuccess) {
    return absl::InternalError(absl::StrCat("CUDA: a step cannot be recorded: ", cudaGetErrorString(error)));
  }
  return ready;
}

void Device::launch(cudaGraphExec_t graph) { keep(cudaGraphLaunch(graph, stream_), "cudaGraphLaunch"); }

void Device::launched(const char* op) { keep(cudaGetLastError(), op); }

void Device::wait() { keep(cudaStreamSynchronize(stream_), "a kernel of this step"); }

void Device::keep(cudaError_t error, const char* what) {
  if (error == cudaSuccess || !failure_.ok()) return;
  failure_ = absl::InternalError(absl::StrCat("CUDA: ", what, ": ", cudaGetErrorString(error)));
  base::log_error("backend", std::string(failure_.message()));
}

}  // namespace polymath::backend::cuda

namespace polymath::backend {

std::vector<std::string> cuda_device_addresses(int n_devices) {
  std::vector<std::string> addresses;
  for (int i = 0; i < n_devices; ++i) {
    char address[32] = {};
    if (cudaDeviceGetPCIBusId(address, sizeof(address), i) == cudaSuccess) addresses.emplace_back(address);
  }
  return addresses;
}

}  // namespace polymath::backend
