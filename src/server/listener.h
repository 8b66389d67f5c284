#pragma once

// Accepts connections on one address; each gets a Session.
// Thread safety: listen() and close() from one thread, the server's owner.

#include <memory>

#include "base/status.h"
#include "server/core.h"

namespace polymath::server {

class Listener {
 public:
  explicit Listener(std::shared_ptr<Core> core);
  ~Listener();

  absl::Status listen();
  uint16_t port() const;        // 0 for a Unix socket
  std::string address() const;  // for the log
  void close();                 // accepts no further connection; removes a Unix socket's file

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace polymath::server
