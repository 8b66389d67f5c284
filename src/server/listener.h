#pragma once

// Accepts connections on one address; each gets a Session, or a 503.
// Thread safety: listen(), set_tls() and close() from one thread, the server's owner; the rest from any thread.

#include <memory>

#include "base/status.h"
#include "server/core.h"

namespace boost::asio::ssl {
class context;
}

namespace polymath::server {

// Where to listen, and for what.
struct Door {
  std::string host;
  uint16_t port = 0;        // 0: any free one
  std::string unix_socket;  // if not empty: here instead
  bool probes_only = false;
};

class Listener {
 public:
  Listener(std::shared_ptr<Core> core, Door door);
  ~Listener();

  absl::Status listen(std::shared_ptr<boost::asio::ssl::context> tls);  // null: plain
  void set_tls(std::shared_ptr<boost::asio::ssl::context> tls);         // of later connections
  uint16_t port() const;                                                // 0 for a Unix socket
  std::string address() const;                                          // for the log
  void close();  // accepts no further connection; removes a Unix socket's file

  // Whether an exception, most likely of an allocation, left it without a pending accept. resume() tries again.
  bool stalled() const;
  void resume();

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace polymath::server
