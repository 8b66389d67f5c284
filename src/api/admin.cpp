// Probes, metrics and version. None of these handlers waits for the engine thread.

#include <utility>

#include "api/dialects.h"
#include "api/openai/error.h"
#include "api/tgi/error.h"
#include "base/json.h"

namespace polymath::api {
namespace {

using server::HttpReply;
using server::HttpRequest;
using ReplyPtr = std::shared_ptr<HttpReply>;

void answer_state(HttpReply& reply, bool good, std::string_view yes, std::string_view no) {
  const std::string_view word = good ? yes : no;
  const base::JsonObject body{{"status", boost::json::string(word.data(), word.size())}};
  reply.send(good ? 200 : 503, "application/json", base::to_text(body));
}

// vLLM's clients read only the status, TGI's the body of a failure.
void health(Service& service, const HttpRequest&, ReplyPtr reply) {
  const bool healthy = service.engine().healthy() && service.engine().responds();
  if (healthy) return answer_state(*reply, true, "healthy", "");
  ErrorReply error = tgi_unhealthy();
  reply->send(error.http_status, "application/json", std::move(error.body));
}

void live(Service&, const HttpRequest&, ReplyPtr reply) { answer_state(*reply, true, "alive", ""); }

void ready(Service& service, const HttpRequest&, ReplyPtr reply) {
  answer_state(*reply, service.ready(), "ready", "not ready");
}

void version(Service& service, const HttpRequest&, ReplyPtr reply) {
  const base::JsonObject body{{"version", boost::json::string(service.options().version)}};
  reply->send(200, "application/json", base::to_text(body));
}

void load(Service& service, const HttpRequest&, ReplyPtr reply) {
  const engine::EngineStats stats = service.engine().stats();
  reply->send(200, "application/json", base::to_text(base::JsonObject{{"server_load", stats.running + stats.waiting}}));
}

void metrics(Service& service, const HttpRequest&, ReplyPtr reply) {
  reply->send(200, "text/plain; version=0.0.4; charset=utf-8", service.metrics().render());
}

constexpr Route kRoutes[] = {
    {"GET", "/health", health, true}, {"GET", "/live", live, true},    {"GET", "/ready", ready, true},
    {"GET", "/ping", health, true},   {"POST", "/ping", health, true}, {"GET", "/metrics", metrics, true, false, true},
    {"GET", "/version", version},     {"GET", "/load", load},
};

}  // namespace

const Dialect kAdminDialect{"admin", kRoutes, openai_error};

}  // namespace polymath::api
