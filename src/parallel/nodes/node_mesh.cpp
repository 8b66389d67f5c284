#include "parallel/nodes/node_mesh.h"

#include <algorithm>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"
#include "parallel/nodes/socket_communicator.h"

namespace polymath::parallel {
namespace {

constexpr double kGreetSeconds = 3;  // that one handshake may take

template <typename T>
std::span<std::byte> bytes_of(std::vector<T>& values) {
  return std::as_writable_bytes(std::span(values));
}

// A stranger, or a node with another secret: the group waits on for its own.
bool is_stranger(const absl::Status& status) { return !absl::IsFailedPrecondition(status); }

}  // namespace

absl::StatusOr<std::shared_ptr<NodeMesh>> NodeMesh::join(const NodeOptions& options) {
  const NodeIdentity& self = options.self;
  CHECK(self.size >= 2 && self.size <= kNodesMax && self.at >= 0 && self.at < self.size);
  std::shared_ptr<NodeMesh> mesh(new NodeMesh(self.size, self.at));
  const double deadline = base::steady_seconds() + options.join_seconds;
  Socket listener;
  if (self.at == 0) {
    ASSIGN_OR_RETURN(listener, listen_on(options.host, options.port));
    RETURN_IF_ERROR(mesh->lead(options, listener, deadline));
  } else {
    ASSIGN_OR_RETURN(listener, mesh->follow(options, deadline));
  }
  RETURN_IF_ERROR(mesh->connect_data(options, listener, deadline));
  base::log_info("nodes", "node ", self.at, " of ", self.size, ": connected to all others");
  return mesh;
}

// Takes in one connection of `channel`, or refuses a stranger.
absl::Status NodeMesh::take_in(const NodeOptions& options, const Socket& listener, Channel channel, double deadline) {
  ASSIGN_OR_RETURN(Socket socket, accept_from(listener, deadline));
  const double soon = std::min(deadline, base::steady_seconds() + kGreetSeconds);
  const auto greeted = greet(socket, options.self, {.channel = channel}, soon);
  if (!greeted.ok()) {
    if (!is_stranger(greeted.status())) return greeted.status();
    base::log_warning("nodes", "a connection from ", socket.peer_host(),
                      " is refused: ", std::string(greeted.status().message()));
    return absl::OkStatus();
  }
  Socket& place = socket_of(greeted->node, channel);
  if (place.fd() >= 0) {
    base::log_warning("nodes", socket.peer_host(), " is refused: there is a node ", greeted->node, " already");
    return absl::OkStatus();
  }
  Place& listens = places_[static_cast<size_t>(greeted->node)];
  if (channel == Channel::kControl) {
    const std::string host = socket.peer_host();
    std::memcpy(listens.host, host.data(), std::min(host.size(), sizeof(listens.host) - 1));
    listens.port = static_cast<uint32_t>(greeted->listen_port);
  }
  place = std::move(socket);
  return absl::OkStatus();
}

absl::Status NodeMesh::lead(const NodeOptions& options, const Socket& listener, double deadline) {
  base::log_info("nodes", "node 0 of ", size_, " waits for the others at ", options.host, " port ", listener.port());
  const auto missing = [&] {
    return std::count_if(links_.begin() + 1, links_.end(), [](const Link& link) { return link.control.fd() < 0; });
  };
  while (missing() > 0) {
    const absl::Status status = take_in(options, listener, Channel::kControl, deadline);
    if (absl::IsDeadlineExceeded(status)) {
      return absl::DeadlineExceededError(
          absl::StrCat(missing(), " of ", size_ - 1, " other nodes did not come within ", options.join_seconds, " s"));
    }
    RETURN_IF_ERROR(status);
  }
  for (int node = 1; node < size_; ++node) RETURN_IF_ERROR(write_all(link(node).control, bytes_of(places_), deadline));
  return absl::OkStatus();
}

// Returns where this node listens: at the address by which it reaches node 0.
absl::StatusOr<Socket> NodeMesh::follow(const NodeOptions& options, double deadline) {
  ASSIGN_OR_RETURN(Socket control, connect_to(options.host, options.port, deadline));
  ASSIGN_OR_RETURN(Socket listener, listen_on(control.host(), 0));
  const double soon = std::min(deadline, base::steady_seconds() + 2 * kGreetSeconds);
  const auto greeted = greet(control, options.self, {.listen_port = listener.port(), .expected = 0}, soon);
  absl::Status status = greeted.status();
  if (status.ok()) status = read_all(control, bytes_of(places_), deadline);
  if (!status.ok()) {
    return absl::Status(status.code(),
                        absl::StrCat("node 0 at ", options.host, " port ", options.port, ": ", status.message()));
  }
  for (Place& place : places_) place.host[sizeof(place.host) - 1] = 0;
  link(0).control = std::move(control);
  return listener;
}

// Each node calls those before it and waits for those after it.
absl::Status NodeMesh::connect_data(const NodeOptions& options, const Socket& listener, double deadline) {
  for (int node = 0; node < at_; ++node) {
    const Place& place = places_[static_cast<size_t>(node)];
    const std::string host = node == 0 ? options.host : place.host;
    const int port = node == 0 ? options.port : static_cast<int>(place.port);
    ASSIGN_OR_RETURN(Socket socket, connect_to(host, port, deadline));
    RETURN_IF_ERROR(greet(socket, options.self, {.channel = Channel::kData, .expected = node}, deadline).status());
    link(node).data = std::move(socket);
  }
  const auto open = [](const Link& link) { return link.data.fd() >= 0; };
  while (!std::all_of(links_.begin() + at_ + 1, links_.end(), open)) {
    RETURN_IF_ERROR(take_in(options, listener, Channel::kData, deadline));
  }
  return absl::OkStatus();
}

std::unique_ptr<Communicator> NodeMesh::communicator(std::vector<int> nodes) {
  return std::make_unique<SocketCommunicator>(shared_from_this(), std::move(nodes));
}

void NodeMesh::abort(const absl::Status& reason) {
  {
    const std::lock_guard lock(mutex_);
    if (!status_.ok()) return;
    status_ = reason;
  }
  interrupt_.raise();
  for (const Link& link : links_) link.data.shut_down();
}

absl::Status NodeMesh::health() const {
  const std::lock_guard lock(mutex_);
  return status_;
}

}  // namespace polymath::parallel
