#include "api/access/gate.h"

#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "api/dialects.h"
#include "api/handler.h"
#include "base/clock.h"

namespace polymath::api {
namespace {

using server::HttpRequest;
using server::HttpServer;

constexpr LocalRules::Breach kNoKey{401, "no_key", "the Authorization header must be `Bearer` and a valid key"};
constexpr LocalRules::Breach kWrongKey{401, "wrong_key", kNoKey.sentence};
constexpr LocalRules::Breach kManyWrongKeys{429, "many_wrong_keys",
                                            "too many wrong keys came from this address; wait, and try again"};

ApiKeys admin_keys(const std::string& secret) {
  std::vector<ApiKeys::Key> keys;
  if (!secret.empty()) keys.push_back({"admin", digest_of_key(secret), nullptr});
  return ApiKeys(std::move(keys));
}

}  // namespace

Gate::Gate(const ServiceOptions& options, base::MetricsRegistry& metrics)
    : options_(options),
      keys_(options.api_keys, options.access.key_file, metrics),
      admin_(admin_keys(options.access.admin_key)),
      local_rules_{options.access.host, options.access.allowed_origins} {
  std::vector<std::string_view> reasons = LocalRules::reasons();
  for (const LocalRules::Breach* breach : {&kNoKey, &kWrongKey, &kManyWrongKeys}) reasons.push_back(breach->reason);
  for (const std::string_view reason : reasons) {
    refusals_[reason] = &metrics.counter("polymath:refused_requests_total",
                                         "Requests that the key check or protected mode refused, by reason.",
                                         {{"reason", std::string(reason)}});
  }
}

Gate::Refused Gate::refuse(const HttpRequest& head, const LocalRules::Breach& breach, server::HttpHeaders headers) {
  refusals_.at(breach.reason)->add();
  ErrorReply error =
      chosen_error_body(options_, dialect_of(head.path).error_body)({breach.http_status, std::string(breach.sentence)});
  return std::make_unique<HttpServer::Refusal>(
      HttpServer::Refusal{error.http_status, std::move(error.body), std::move(headers)});
}

// Null: the key is valid, and `principal` is its name.
Gate::Refused Gate::check_key(const ApiKeys& keys, const HttpRequest& head, std::string& principal) {
  std::string authorization(head.header("authorization"));
  // As Anthropic's clients send it.
  if (authorization.empty() && !head.header("x-api-key").empty()) {
    authorization = absl::StrCat("Bearer ", std::string(head.header("x-api-key")));
  }
  if (authorization.empty()) return refuse(head, kNoKey, {{"WWW-Authenticate", "Bearer"}});
  const ApiKeys::Key* const key = keys.find(authorization);
  const double wait =
      guard_.judge(head.address, key == nullptr ? std::string_view{} : key->name, base::steady_seconds());
  if (wait > 0) return refuse(head, kManyWrongKeys, {{"Retry-After", absl::StrCat(std::ceil(wait))}});
  if (key == nullptr) return refuse(head, kWrongKey, {{"WWW-Authenticate", "Bearer"}});
  if (key->requests != nullptr) key->requests->add();
  principal = key->name;
  return nullptr;
}

Gate::Refused Gate::refuse(const HttpRequest& head, const absl::Status& status) const {
  return std::make_unique<HttpServer::Refusal>(refusal_of(chosen_error_body(options_, dialect_of(head.path).error_body),
                                                          status, request_id(options_.limits, head, "")));
}

// Null: the client may call. `route`: null for an unknown path.
Gate::Refused Gate::check_caller(const Route* route, const HttpRequest& head, std::string& principal) {
  const AccessOptions& access = options_.access;
  const bool for_admin = route != nullptr && route->shows_metrics && access.protect_metrics;
  const bool open = route != nullptr && route->open && !for_admin;
  if (open || head.method == "OPTIONS") return nullptr;  // a browser's preflight carries no key
  if (for_admin) return check_key(admin_, head, principal);
  if (keys_.is_required()) return check_key(*keys_.keys(), head, principal);
  if (access.allow_anonymous) return nullptr;
  const auto breach = local_rules_.check(head);
  return breach.has_value() ? refuse(head, *breach) : nullptr;
}

HttpServer::Admission Gate::admit(const HttpRequest& head, const Route* route, Service* service) {
  HttpServer::Admission out;
  out.refusal = check_caller(route, head, out.principal);
  if (out.refusal != nullptr || route == nullptr || head.method == "OPTIONS") return out;
  if (service == nullptr) {
    if (!route->open) out.refusal = refuse(head, absl::UnavailableError(kLoading));
    return out;
  }
  if (!route->generates) return out;
  service->counts().arrived();
  // A full queue refuses before the body. A place is not held for it: a client could send for a minute.
  out.refusal = enter(head, *route, *service).refusal;
  return out;
}

HttpServer::Admission Gate::enter(const HttpRequest& request, const Route& route, Service& service) const {
  HttpServer::Admission out;
  if (!route.generates) return out;
  auto place = service.engine().reserve();
  if (place.ok()) {
    out.ticket = *std::move(place);
  } else {
    out.refusal = refuse(request, place.status());
  }
  return out;
}

}  // namespace polymath::api
