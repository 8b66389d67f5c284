#pragma once

// Two nodes make sure of each other before a message passes: the secret, the build, the flags, and their places.
//
// Each sends a greeting with random bytes, and an HMAC-SHA256 of both greetings under the secret. So the secret itself
// never goes over the network, and an old greeting is worth nothing. What follows is neither encrypted nor signed: who
// can change packets between the nodes can change steps.
//
// Thread safety: any.

#include <cstdint>
#include <string>

#include "base/hash.h"
#include "parallel/nodes/socket.h"

namespace polymath::parallel {

enum class Channel : uint32_t { kControl, kData };

struct NodeIdentity {
  int at = 0, size = 1;  // the node, and how many there are
  std::string secret;
  std::string version;      // of the build; at most 63 bytes count
  base::Digest settings{};  // of all that must be equal on every node
};

struct Greeted {
  int node = 0;         // the other side's
  int listen_port = 0;  // where the other side takes connections; 0: nowhere
};

struct GreetOptions {
  Channel channel = Channel::kControl;
  int listen_port = 0;  // where this side takes connections; 0: nowhere
  int expected = -1;    // the other side's node; -1: any but this one
};

// Both sides call it at once.
// kPermissionDenied: the secret differs. kFailedPrecondition: the build, the flags or the number of nodes differs, or
// the place is taken. kInvalidArgument: no node speaks there. Else as read_all().
absl::StatusOr<Greeted> greet(const Socket& socket, const NodeIdentity& self, const GreetOptions& options,
                              double deadline);

}  // namespace polymath::parallel
