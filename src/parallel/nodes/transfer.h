#pragma once

// Messages over several connections at once, in both directions, so that full buffers cannot block a group.
//
//   Flow flows[] = {{.fd = 7, .peer = 1, .out = header, .send = bytes, .expect = header, .receive = room}};
//   RETURN_IF_ERROR(transfer(flows, interrupt));
//
// A message is a header of 16 bytes and its data. What arrives must have the expected header, so its size is known.
//
// Thread safety: each connection is used by one thread at a time.

#include <cstdint>
#include <span>

#include "base/status.h"
#include "parallel/nodes/socket.h"

namespace polymath::parallel {

enum class Operation : uint32_t { kNone, kSum, kSums, kGather, kMessage };

struct FlowHeader {
  Operation operation = Operation::kNone;  // kNone: nothing goes this way
  uint32_t sequence = 0;                   // of this connection and direction
  uint64_t bytes = 0;
};

struct Flow {
  int fd = -1;
  int peer = 0;  // a node, for errors
  FlowHeader out;
  std::span<const std::byte> send;
  FlowHeader expect;
  std::span<std::byte> receive;
  // Used by transfer().
  size_t sent = 0, received = 0;  // bytes, headers included
  FlowHeader arrived;
};

// kUnavailable: a peer has gone. kInternal: a message does not fit; both name the node. kCancelled: the interrupt.
absl::Status transfer(std::span<Flow> flows, const Interrupt& interrupt);

}  // namespace polymath::parallel
