#pragma once

// Sums, gathers and messages between nodes, over their connections. Tensors are in host memory.
//
// A small sum goes to every node whole: one message each way. A large one is cut: each node sums a stretch and sends it
// on. So a node sends twice its tensor, whatever the number of nodes. Both add in the order of the ranks.

#include <memory>
#include <vector>

#include "parallel/communicator.h"
#include "parallel/nodes/node_mesh.h"

namespace polymath::parallel {

class SocketCommunicator : public Communicator {
 public:
  // As NodeMesh::communicator().
  SocketCommunicator(std::shared_ptr<NodeMesh> mesh, std::vector<int> nodes);

  Rank rank() const override { return rank_; }
  void all_reduce_sum(const tensor::Tensor& x) override;
  void all_gather_cols(const tensor::Tensor& part, const tensor::Tensor& all) override;
  void send(const tensor::Tensor& x, int to) override;
  void receive(const tensor::Tensor& x, int from) override;
  void abort(const absl::Status& reason) override { mesh_->abort(reason); }
  absl::Status health() const override { return mesh_->health(); }

 private:
  using Bytes = std::span<std::byte>;
  using ConstBytes = std::span<const std::byte>;

  void add_flow(int rank, Operation operation, ConstBytes send, Bytes receive);
  bool run_flows();  // and forgets them; false: the group failed
  void sum_whole(float* x, int64_t n);
  void sum_stretches(float* x, int64_t n);

  const std::shared_ptr<NodeMesh> mesh_;
  const std::vector<int> nodes_;  // by rank
  const Rank rank_;
  std::vector<Flow> flows_;
  std::vector<float> parts_, packed_;  // of the largest operation so far
};

}  // namespace polymath::parallel
