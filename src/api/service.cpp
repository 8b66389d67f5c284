#include "api/service.h"

#include <ctime>
#include <utility>

#include "api/dialects.h"
#include "api/gate.h"
#include "api/handler.h"
#include "api/openai/error.h"
#include "base/clock.h"

namespace polymath::api {
namespace {

using server::HttpRequest;

constexpr double kTicksPerSilence = 4;  // a silence lasts at most a quarter longer than its limit

std::unique_ptr<Ticker> make_ticker(OutputPool& pool, double silence_s_max) {
  return silence_s_max > 0 ? std::make_unique<Ticker>(pool, silence_s_max / kTicksPerSilence) : nullptr;
}

}  // namespace

Service::Service(engine::Engine& engine, ServedModel model, ServiceOptions options, base::MetricsRegistry& metrics)
    : engine_(engine),
      model_(std::move(model)),
      options_(std::move(options)),
      metrics_(metrics),
      counts_({model_.names.front(), options_.metrics, model_.model_len_max}, metrics),
      created_(static_cast<int64_t>(std::time(nullptr))),
      json_memory_(options_.json_memory_max),
      pool_(options_.output_threads),
      ticker_(make_ticker(pool_, options_.limits.stream_silence_s_max)) {}

void Service::begin_drain() {
  ready_ = false;
  draining_ = true;
}

ErrorBody Service::error_body(ErrorBody of_dialect) const {
  return options_.flat_errors && of_dialect == openai_error ? openai_flat_error : of_dialect;
}

bool Service::refuse_in_drain(const Dialect& dialect, const server::HttpRequest& request,
                              server::HttpReply& reply) const {
  if (!draining_) return false;
  send_error(reply, error_body(dialect.error_body), absl::UnavailableError(kShuttingDown),
             request_id(*this, request, ""));
  return true;
}

void Service::install(server::HttpServer& http) {
  for (const Dialect* dialect : dialects()) {
    for (const Route& route : dialect->routes) {
      http.route(
          route.method, route.path,
          [this, dialect, route](const HttpRequest& request, std::shared_ptr<server::HttpReply> reply) {
            if (!route.open && refuse_in_drain(*dialect, request, *reply)) return;
            const double begin = base::steady_seconds();
            route.handle(*this, request, std::move(reply));
            if (route.generates) counts_.validated(base::steady_seconds() - begin);
          },
          route.open ? server::RouteKind::kProbe : server::RouteKind::kWork);
    }
  }
  http.set_error_body([this](const server::ServerError& error) {
    return error_body(dialect_of(error.path).error_body)({error.status, std::string(error.message)}).body;
  });
  http.set_metrics(metrics_, [this](const server::Answered& answered) {
    const Route* route = find_route(answered.method, answered.handler);
    if (route != nullptr && route->generates) counts_.answered(answered);
  });
  http.set_gate([gate = std::make_shared<Gate>(*this)](const server::HttpRequest& head) { return gate->admit(head); });
}

}  // namespace polymath::api
