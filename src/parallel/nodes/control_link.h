#pragma once

// Messages between node 0 and another one, and the watch over each other.
//
//   ControlLink link(mesh->take_control(1), {.peer = 1, .silence_s = 4}, trace, on_failure);
//   RETURN_IF_ERROR(link.send(MessageKind::kStep, bytes));
//   ASSIGN_OR_RETURN(ControlMessage answer, link.receive());      // waits for the next one
//
// A thread reads, and sends a heartbeat twice a second: what the rank is doing. A peer that is silent,
// closes the connection or sends nonsense ends the link. Every wait then returns why.
//
// Thread safety: send(): any thread. receive(): one thread. health(): any thread.

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <span>
#include <thread>
#include <vector>

#include "base/status.h"
#include "parallel/nodes/socket.h"
#include "parallel/rank_trace.h"

namespace polymath::parallel {

enum class MessageKind : uint32_t {
  kHeartbeat,
  kLoaded,
  kReserve,
  kMakeCache,
  kStep,
  kDone,
  kLoad,
  kFailed,
  kEnd,
  kCount
};

struct ControlMessage {
  MessageKind kind = MessageKind::kHeartbeat;
  std::vector<std::byte> bytes;
};

class ControlLink {
 public:
  static constexpr uint32_t kBytesMax = 64 << 20;  // of a message
  static constexpr size_t kQueuedMax = 64;         // messages that wait for receive()

  struct Options {
    int peer = 0;          // a node, for errors
    double silence_s = 4;  // without a byte; then the peer is lost
  };
  // `own`: what heartbeats say. `theirs`: what arrives; null: not kept. `on_failure`: once, on the thread that
  // sees it.
  ControlLink(Socket socket, const Options& options, const RankTrace& own, RankTrace* theirs,
              std::function<void(const absl::Status&)> on_failure);
  ~ControlLink();

  absl::Status send(MessageKind kind, std::span<const std::byte> bytes);
  absl::StatusOr<ControlMessage> receive();
  void fail(const absl::Status& reason);  // ends every wait; the first reason counts
  absl::Status health() const;

 private:
  struct Head {
    uint32_t kind = 0, bytes = 0;
  };
  void watch();
  absl::Status read_some();
  absl::Status take(const Head& head);
  absl::Status beat();

  const Socket socket_;
  const Options options_;
  const RankTrace& own_;
  RankTrace* const theirs_;
  const std::function<void(const absl::Status&)> on_failure_;
  const Interrupt interrupt_;
  std::mutex write_mutex_;  // of the socket's writing side
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<ControlMessage> queue_;  // under mutex_
  absl::Status status_;               // under mutex_
  bool stopping_ = false;             // under mutex_
  // The thread's own.
  double heard_at_ = 0;
  RankTrace::State heard_;          // of the last heartbeat
  std::vector<std::byte> partial_;  // a message that is not whole yet, with its head
  size_t n_partial_ = 0;
  std::thread thread_;
};

}  // namespace polymath::parallel
