#include "api/door.h"

#include <utility>

#include "api/dialects.h"
#include "api/handler.h"
#include "base/check.h"
#include "base/clock.h"

namespace polymath::api {

using server::HttpReply;
using server::HttpRequest;

namespace {

server::RouteKind kind_of(const Route& route) {
  if (route.shows_metrics) return server::RouteKind::kMetrics;
  return route.open ? server::RouteKind::kProbe : server::RouteKind::kWork;
}

}  // namespace

Door::Door(ServiceOptions options, base::MetricsRegistry& metrics)
    : options_(std::move(options)), metrics_(metrics), gate_(options_, metrics) {}

void Door::refuse(const Dialect& dialect, const HttpRequest& request, ReplyPtr reply, const char* sentence) const {
  send_error(*reply, chosen_error_body(options_, dialect.error_body), absl::UnavailableError(sentence),
             request_id(options_.limits, request, ""));
}

void Door::handle(const Dialect& dialect, const Route& route, const HttpRequest& request, ReplyPtr reply) {
  Service* const service = service_.load(std::memory_order_acquire);
  if (service == nullptr) {
    if (route.while_loading == nullptr) return refuse(dialect, request, std::move(reply), kLoading);
    return route.while_loading(metrics_, request, std::move(reply));
  }
  if (!route.open && service->draining()) return refuse(dialect, request, std::move(reply), kShuttingDown);
  const double begin = base::steady_seconds();
  route.handle(*service, request, std::move(reply));
  if (route.generates) service->counts().validated(base::steady_seconds() - begin);
}

const Route* Door::route_of(int number) const {
  return number == server::kNoRoute ? nullptr : routes_.at(static_cast<size_t>(number));
}

void Door::install(server::HttpServer& http) {
  for (const Dialect* dialect : dialects()) {
    for (const Route& route : dialect->routes) {
      const int number = http.route(
          route.method, route.path,
          [this, dialect, &route](const HttpRequest& request, ReplyPtr reply) {
            handle(*dialect, route, request, std::move(reply));
          },
          kind_of(route));
      CHECK(static_cast<size_t>(number) == routes_.size());
      routes_.push_back(&route);
    }
  }
  http.set_error_body([this](const server::ServerError& error) {
    const ErrorBody body = chosen_error_body(options_, dialect_of(error.path).error_body);
    return body({error.status, std::string(error.message)}).body;
  });
  http.set_metrics(metrics_, [this](const server::Answered& answered) {
    Service* const service = service_.load(std::memory_order_acquire);
    const Route* const route = route_of(answered.route);
    if (service != nullptr && route != nullptr && route->generates) service->counts().answered(answered);
  });
  http.set_gate([this](const HttpRequest& head) {
    return gate_.admit(head, route_of(head.route), service_.load(std::memory_order_acquire));
  });
  http.set_entry([this](const HttpRequest& request) {
    Service* const service = service_.load(std::memory_order_acquire);
    const Route* const route = route_of(request.route);
    if (service == nullptr || route == nullptr) return server::HttpServer::Admission{};
    return gate_.enter(request, *route, *service);
  });
}

}  // namespace polymath::api
