#pragma once

// What a request's head decides, before its body is read: its key, and its place in the engine's queue.
//
// Thread safety: admit() from any thread; it does not block.

#include <vector>

#include "api/auth.h"
#include "api/service.h"
#include "server/http_server.h"

namespace polymath::api {

class Gate {
 public:
  explicit Gate(Service& service);

  // Refuses in the words of the path's dialect. 401: no valid key. 429: the queue is full. 503: the server stops.
  // The principal is "key" and the key's number; without keys it is empty. The ticket is an engine::Engine::Place.
  server::HttpServer::Admission admit(const server::HttpRequest& head) const;

 private:
  Service& service_;
  const ApiKeys keys_;
};

}  // namespace polymath::api
