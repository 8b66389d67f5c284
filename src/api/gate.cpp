#include "api/gate.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "api/dialects.h"
#include "api/handler.h"

namespace polymath::api {
namespace {

using server::HttpRequest;
using server::HttpServer;

HttpServer::Admission refused(HttpServer::Refusal refusal) {
  HttpServer::Admission out;
  out.refusal = std::make_unique<HttpServer::Refusal>(std::move(refusal));
  return out;
}

HttpServer::Admission unauthorized(const Service& service, const HttpRequest& head) {
  ErrorReply error = service.error_body(dialect_of(head.path).error_body)(
      {401, "the Authorization header must be `Bearer` and a valid key"});
  return refused({error.http_status, std::move(error.body), {{"WWW-Authenticate", "Bearer"}}});
}

}  // namespace

Gate::Gate(Service& service) : service_(service), keys_(service.options().api_keys) {}

HttpServer::Admission Gate::admit(const HttpRequest& head) const {
  HttpServer::Admission out;
  const Route* route = find_route(head.method, head.path);
  const bool open = route != nullptr && route->open;
  if (open || head.method == "OPTIONS") return out;  // a browser's preflight carries no key
  if (!service_.options().api_keys.empty()) {
    const std::optional<int> key = keys_.find(head.header("authorization"));
    if (!key.has_value()) return unauthorized(service_, head);
    out.principal = absl::StrCat("key", *key);
  }
  if (route == nullptr || !route->generates) return out;
  auto place = service_.engine().reserve();
  if (!place.ok()) {
    return refused(refusal_of(service_.error_body(dialect_of(head.path).error_body), place.status(),
                              request_id(service_, head, "")));
  }
  out.ticket = *std::move(place);
  return out;
}

}  // namespace polymath::api
