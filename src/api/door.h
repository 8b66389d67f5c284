#pragma once

// Every dialect's routes, key check and error bodies on one HTTP server. The server listens while the model loads:
// probes tell so, and all else answers 503 with Retry-After.
//
//   Door door(options, registry);
//   door.install(http);    // before http.start()
//   door.open(service);    // the model is loaded: from now on requests reach the service
//
// The door must outlive the server, and the service must outlive the server's handlers.
// Thread safety: open() once, from any thread.

#include <atomic>
#include <memory>
#include <vector>

#include "api/access/gate.h"
#include "api/service.h"
#include "server/http_server.h"

namespace polymath::api {

struct Dialect;
struct Route;

class Door {
 public:
  Door(ServiceOptions options, base::MetricsRegistry& metrics);

  void install(server::HttpServer& http);
  void open(Service& service) { service_.store(&service, std::memory_order_release); }

  const ServiceOptions& options() const { return options_; }

 private:
  using ReplyPtr = std::shared_ptr<server::HttpReply>;

  const Route* route_of(int number) const;  // null for server::kNoRoute
  void handle(const Dialect& dialect, const Route& route, const server::HttpRequest& request, ReplyPtr reply);
  void refuse(const Dialect& dialect, const server::HttpRequest& request, ReplyPtr reply, const char* sentence) const;

  const ServiceOptions options_;
  base::MetricsRegistry& metrics_;
  Gate gate_;
  std::vector<const Route*> routes_;  // by the server's numbers
  std::atomic<Service*> service_{nullptr};
};

}  // namespace polymath::api
