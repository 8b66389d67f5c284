#pragma once

// What a request's head decides, before its body is read: who the client is, and whether it may call. It also takes a
// place in the engine's queue. Deny by default: only open routes (api/dialects.h) pass without a check.
//
//   keys are set      a key is needed; wrong ones are slowed by address (access/key_guard.h)
//   no key            protected mode (access/local_rules.h), unless --allow-anonymous
//   --protect-metrics /metrics needs the admin key
//
// Thread safety: admit() from any thread; it does not block.

#include <map>
#include <string_view>

#include "api/access/key_guard.h"
#include "api/access/key_ring.h"
#include "api/access/local_rules.h"
#include "api/service.h"
#include "server/http_server.h"

namespace polymath::api {

class Gate {
 public:
  explicit Gate(Service& service);

  // Refuses in the words of the path's dialect. 401: no valid key. 403, 415: protected mode. 429: the queue is full, or
  // too many wrong keys. 503: the server stops. The principal is the key's name; without keys it is empty. The ticket
  // is an engine::Engine::Place.
  server::HttpServer::Admission admit(const server::HttpRequest& head);

 private:
  using Refused = std::unique_ptr<server::HttpServer::Refusal>;

  Refused check_key(const ApiKeys& keys, const server::HttpRequest& head, std::string& principal);
  Refused refuse(const server::HttpRequest& head, const LocalRules::Breach& breach, server::HttpHeaders headers = {});

  Service& service_;
  KeyRing keys_;
  const ApiKeys admin_;
  const LocalRules local_rules_;
  KeyGuard guard_;
  std::map<std::string_view, base::Counter*> refusals_;  // by reason
};

}  // namespace polymath::api
