#include "parallel/nodes/socket_communicator.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/check.h"

namespace polymath::parallel {
namespace {

using tensor::DType;
using tensor::Tensor;

constexpr int64_t kWholeValuesMax = 16 << 10;  // of a sum that goes out whole

int place_of(const NodeMesh& mesh, const std::vector<int>& nodes) {
  const auto at = std::find(nodes.begin(), nodes.end(), mesh.at());
  CHECK(at != nodes.end());
  return static_cast<int>(at - nodes.begin());
}

float* room(std::vector<float>& values, int64_t n) {
  if (values.size() < static_cast<size_t>(n)) values.resize(static_cast<size_t>(n));
  return values.data();
}

std::span<std::byte> bytes(float* x, int64_t n) { return std::as_writable_bytes(std::span(x, static_cast<size_t>(n))); }

}  // namespace

SocketCommunicator::SocketCommunicator(std::shared_ptr<NodeMesh> mesh, std::vector<int> nodes)
    : mesh_(std::move(mesh)),
      nodes_(std::move(nodes)),
      rank_{static_cast<int>(nodes_.size()), place_of(*mesh_, nodes_)} {
  flows_.reserve(nodes_.size());
}

// Nothing goes in a direction whose pointer is null. Numbers count each connection's messages.
void SocketCommunicator::add_flow(int rank, Operation operation, ConstBytes send, Bytes receive) {
  const int node = nodes_[static_cast<size_t>(rank)];
  NodeMesh::Link& link = mesh_->link(node);
  Flow flow{.fd = link.data.fd(), .peer = node};
  if (send.data() != nullptr) flow.out = {operation, link.n_sent++, send.size()}, flow.send = send;
  if (receive.data() != nullptr) flow.expect = {operation, link.n_received++, receive.size()}, flow.receive = receive;
  flows_.push_back(flow);
}

bool SocketCommunicator::run_flows() {
  const absl::Status status = mesh_->health().ok() ? transfer(flows_, mesh_->interrupt_) : mesh_->health();
  flows_.clear();
  if (!status.ok()) mesh_->abort(status);
  return status.ok();
}

void SocketCommunicator::all_reduce_sum(const Tensor& x) {
  CHECK(x.dtype == DType::kF32 && x.row_gap == 0);
  const int64_t n = x.shape.elements();
  if (n <= kWholeValuesMax) {
    sum_whole(x.as<float>(), n);
  } else {
    sum_stretches(x.as<float>(), n);
  }
}

void SocketCommunicator::sum_whole(float* x, int64_t n) {
  float* parts = room(parts_, rank_.size * n);
  for (int r = 0; r < rank_.size; ++r) {
    if (r != rank_.at) add_flow(r, Operation::kSum, bytes(x, n), bytes(parts + r * n, n));
  }
  if (!run_flows()) return;
  std::copy(x, x + n, parts + rank_.at * n);
  for (int64_t i = 0; i < n; ++i) {
    float sum = 0;
    for (int r = 0; r < rank_.size; ++r) sum += parts[r * n + i];
    x[i] = sum;
  }
}

void SocketCommunicator::sum_stretches(float* x, int64_t n) {
  const auto begin = [&](int rank) { return n * rank / rank_.size; };
  const int64_t first = begin(rank_.at), own = begin(rank_.at + 1) - first;
  float* parts = room(parts_, rank_.size * own);
  for (int r = 0; r < rank_.size; ++r) {
    if (r == rank_.at) continue;
    add_flow(r, Operation::kSum, bytes(x + begin(r), begin(r + 1) - begin(r)), bytes(parts + r * own, own));
  }
  if (!run_flows()) return;
  std::copy(x + first, x + first + own, parts + rank_.at * own);
  for (int64_t i = 0; i < own; ++i) {
    float sum = 0;
    for (int r = 0; r < rank_.size; ++r) sum += parts[r * own + i];
    x[first + i] = sum;
  }
  for (int r = 0; r < rank_.size; ++r) {
    if (r == rank_.at) continue;
    add_flow(r, Operation::kSums, bytes(x + first, own), bytes(x + begin(r), begin(r + 1) - begin(r)));
  }
  run_flows();
}

void SocketCommunicator::all_gather_cols(const Tensor& part, const Tensor& all) {
  CHECK(all.rows() == part.rows() && all.cols() == rank_.size * part.cols());
  const int64_t rows = part.rows(), cols = part.cols(), n = rows * cols;
  float *packed = room(packed_, n), *parts = room(parts_, rank_.size * n);
  for (int64_t i = 0; i < rows; ++i) std::copy_n(part.f32() + i * part.stride(), cols, packed + i * cols);
  for (int r = 0; r < rank_.size; ++r) {
    if (r != rank_.at) add_flow(r, Operation::kGather, bytes(packed, n), bytes(parts + r * n, n));
  }
  if (!run_flows()) return;
  for (int r = 0; r < rank_.size; ++r) {
    const float* from = r == rank_.at ? packed : parts + r * n;
    for (int64_t i = 0; i < rows; ++i) std::copy_n(from + i * cols, cols, all.f32() + i * all.stride() + r * cols);
  }
}

void SocketCommunicator::send(const Tensor& x, int to) {
  CHECK(x.dtype == DType::kF32 && x.row_gap == 0 && to != rank_.at);
  add_flow(to, Operation::kMessage, bytes(x.as<float>(), x.shape.elements()), {});
  run_flows();
}

void SocketCommunicator::receive(const Tensor& x, int from) {
  CHECK(x.dtype == DType::kF32 && x.row_gap == 0 && from != rank_.at);
  add_flow(from, Operation::kMessage, {}, bytes(x.as<float>(), x.shape.elements()));
  run_flows();
}

}  // namespace polymath::parallel
