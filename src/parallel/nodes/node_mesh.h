#pragma once

// The nodes of one group. Every two have a connection for tensors, and node 0 has one for control to each.
//
//   ASSIGN_OR_RETURN(auto mesh, NodeMesh::join(options));            // on every node; waits for all
//   auto stage = mesh->communicator({0, 1});                         // on nodes 0 and 1
//   auto control = mesh->take_control(1);                            // on node 0, and on node 1 for node 0
//
// Node 0 listens at the address that all know. The others say there where they listen, and node 0 passes that on.
// A stranger who connects meanwhile is refused by the handshake, and the wait goes on.
//
// Thread safety: communicators of disjoint nodes may be used by different threads. abort() and health(): any thread.

#include <cstdint>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "parallel/communicator.h"
#include "parallel/nodes/handshake.h"
#include "parallel/nodes/transfer.h"

namespace polymath::parallel {

struct NodeOptions {
  NodeIdentity self;
  std::string host = "127.0.0.1";  // of node 0
  int port = 29501;
  double join_seconds = 600;  // that the others may take to come
};

class NodeMesh : public std::enable_shared_from_this<NodeMesh> {
 public:
  static constexpr int kNodesMax = 64;  // more: refused by the flags, a CHECK here

  // kDeadlineExceeded: a node did not come in time (says how many are missing). Else as greet().
  static absl::StatusOr<std::shared_ptr<NodeMesh>> join(const NodeOptions& options);

  int size() const { return size_; }
  int at() const { return at_; }

  // Among `nodes`, which holds this one: a rank each, in that order. The communicator keeps the mesh alive.
  std::unique_ptr<Communicator> communicator(std::vector<int> nodes);
  // Once for each node.
  Socket take_control(int node) { return std::move(links_[static_cast<size_t>(node)].control); }

  // Ends the waits of this node; the others see closed connections. The first reason counts.
  void abort(const absl::Status& reason);
  absl::Status health() const;

 private:
  friend class SocketCommunicator;
  struct Link {
    Socket data, control;
    uint32_t n_sent = 0, n_received = 0;  // messages of `data`
  };

  struct Place {  // where a node takes connections; as on the wire
    char host[64];
    uint32_t port;
  };

  NodeMesh(int size, int at)
      : size_(size), at_(at), links_(static_cast<size_t>(size)), places_(static_cast<size_t>(size)) {}
  absl::Status lead(const NodeOptions& options, const Socket& listener, double deadline);
  absl::StatusOr<Socket> follow(const NodeOptions& options, double deadline);
  absl::Status take_in(const NodeOptions& options, const Socket& listener, Channel channel, double deadline);
  absl::Status connect_data(const NodeOptions& options, const Socket& listener, double deadline);
  Link& link(int node) { return links_[static_cast<size_t>(node)]; }
  Socket& socket_of(int node, Channel channel) {
    return channel == Channel::kData ? link(node).data : link(node).control;
  }

  const int size_, at_;
  std::vector<Link> links_;    // by node; its own: empty
  std::vector<Place> places_;  // by node; of node 0: all know it
  Interrupt interrupt_;
  mutable std::mutex mutex_;
  absl::Status status_;  // under mutex_
};

}  // namespace polymath::parallel
