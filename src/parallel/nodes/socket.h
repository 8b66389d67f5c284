#pragma once

// TCP sockets between the nodes of a group. They do not block: what waits has a deadline and an interrupt.
//
//   ASSIGN_OR_RETURN(Socket listener, listen_on("0.0.0.0", 29501));
//   ASSIGN_OR_RETURN(Socket socket, connect_to("10.0.0.7", 29501, deadline));
//
// Errors: kUnavailable: the other side is not there, or has gone. kDeadlineExceeded: it was too slow.
//
// Thread safety: a socket may be written by one thread and read by another. Interrupt: any thread.

#include <cstddef>
#include <span>
#include <string>

#include "base/status.h"

namespace polymath::parallel {

class Socket {
 public:
  Socket() = default;
  explicit Socket(int fd) : fd_(fd) {}
  ~Socket();
  Socket(Socket&& other) noexcept;
  Socket& operator=(Socket&& other) noexcept;

  int fd() const { return fd_; }  // -1: none
  void shut_down() const;         // both sides see the end of the stream; the descriptor stays
  int port() const;               // its own
  std::string host() const;       // its own, as a number; empty: unknown
  std::string peer_host() const;  // the other side's

 private:
  int fd_ = -1;
};

// Ends waits: every poll() of a thread also looks at it.
class Interrupt {
 public:
  Interrupt();
  void raise() const;  // for good
  int fd() const { return event_.fd(); }

 private:
  Socket event_;
};

// `host`: a name or a number of this machine; "0.0.0.0" and "::" for all. Port 0: any.
absl::StatusOr<Socket> listen_on(const std::string& host, int port);
// `deadline`: of base::steady_seconds(). Tries again until then, as the other node may start later.
absl::StatusOr<Socket> connect_to(const std::string& host, int port, double deadline);
absl::StatusOr<Socket> accept_from(const Socket& listener, double deadline);

// Exactly these bytes. Not for the steps of a model: transfer.h is.
absl::Status write_all(const Socket& socket, std::span<const std::byte> bytes, double deadline);
absl::Status read_all(const Socket& socket, std::span<std::byte> bytes, double deadline);

}  // namespace polymath::parallel
