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

// vLLM's clients read only the status, TGI's the body.
void say_unhealthy(base::MetricsRegistry&, const HttpRequest&, ReplyPtr reply) {
  ErrorReply error = tgi_unhealthy();
  reply->send(error.http_status, "application/json", std::move(error.body));
}

void health(Service& service, const HttpRequest& request, ReplyPtr reply) {
  const bool healthy = service.engine().healthy() && service.engine().responds();
  if (healthy) return answer_state(*reply, true, "healthy", "");
  say_unhealthy(service.metrics(), request, std::move(reply));
}

void say_alive(base::MetricsRegistry&, const HttpRequest&, ReplyPtr reply) { answer_state(*reply, true, "alive", ""); }

void live(Service&, const HttpRequest&, ReplyPtr reply) { answer_state(*reply, true, "alive", ""); }

void say_loading(base::MetricsRegistry&, const HttpRequest&, ReplyPtr reply) {
  answer_state(*reply, false, "", "loading");
}

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

void show_metrics(base::MetricsRegistry& metrics, const HttpRequest&, ReplyPtr reply) {
  reply->send(200, "text/plain; version=0.0.4; charset=utf-8", metrics.render());
}

void metrics(Service& service, const HttpRequest& request, ReplyPtr reply) {
  show_metrics(service.metrics(), request, std::move(reply));
}

constexpr Route probe(std::string_view method, std::string_view path, Handle handle, HandleLoading while_loading) {
  return {.method = method, .path = path, .handle = handle, .open = true, .while_loading = while_loading};
}

constexpr Route with_metrics(Route route) {
  route.shows_metrics = true;
  return route;
}

constexpr Route kRoutes[] = {
    probe("GET", "/health", health, say_unhealthy),
    probe("GET", "/live", live, say_alive),
    probe("GET", "/ready", ready, say_loading),
    probe("GET", "/ping", health, say_unhealthy),
    probe("POST", "/ping", health, say_unhealthy),
    with_metrics(probe("GET", "/metrics", metrics, show_metrics)),
    {"GET", "/version", version},
    {"GET", "/load", load},
};

}  // namespace

const Dialect kAdminDialect{"admin", kRoutes, openai_error};

}  // namespace polymath::api
