#pragma once

// What a request's head decides, before its body is read: who the client is, and whether it may call. Once the body is
// there, and before it is parsed, the request takes a place in the engine's queue.
// Deny by default: only open routes (api/dialects.h) pass without a check.
//
//   keys are set      a key is needed; wrong ones are slowed by address (access/key_guard.h)
//   no key            protected mode (access/local_rules.h), unless --allow-anonymous
//   --protect-metrics /metrics needs the admin key
//
// Thread safety: admit() and enter() from any thread; they do not block.

#include <map>
#include <string_view>

#include "api/access/key_guard.h"
#include "api/access/key_ring.h"
#include "api/access/local_rules.h"
#include "api/service.h"
#include "server/http_server.h"

namespace polymath::api {

struct Route;

class Gate {
 public:
  // `options` must outlive the gate.
  Gate(const ServiceOptions& options, base::MetricsRegistry& metrics);

  // Refuses in the words of the path's dialect. 401: no valid key. 403, 415: protected mode. 429: the queue is full, or
  // too many wrong keys. 503: the server starts or stops. The principal is the key's name; without keys it is empty.
  // `route`: null for an unknown path or method. `service`: null while the model loads.
  server::HttpServer::Admission admit(const server::HttpRequest& head, const Route* route, Service* service);
  // Behind the body: takes the place. The ticket is an engine::Place. 429: the queue has filled up since.
  server::HttpServer::Admission enter(const server::HttpRequest& request, const Route& route, Service& service) const;

 private:
  using Refused = std::unique_ptr<server::HttpServer::Refusal>;

  Refused check_key(const ApiKeys& keys, const server::HttpRequest& head, std::string& principal);
  Refused check_caller(const Route* route, const server::HttpRequest& head, std::string& principal);
  Refused refuse(const server::HttpRequest& head, const LocalRules::Breach& breach, server::HttpHeaders headers = {});
  Refused refuse(const server::HttpRequest& head, const absl::Status& status) const;

  const ServiceOptions& options_;
  KeyRing keys_;
  const ApiKeys admin_;
  const LocalRules local_rules_;
  KeyGuard guard_;
  std::map<std::string_view, base::Counter*> refusals_;  // by reason
};

}  // namespace polymath::api
