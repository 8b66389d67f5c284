#include "api/service.h"

#include <ctime>
#include <utility>

#include "api/auth.h"
#include "api/dialects.h"

namespace polymath::api {
namespace {

constexpr double kTicksPerSilence = 4;  // a silence lasts at most a quarter longer than its limit

}  // namespace

Service::Service(engine::Engine& engine, ServedModel model, ServiceOptions options, base::MetricsRegistry& metrics)
    : engine_(engine),
      model_(std::move(model)),
      options_(std::move(options)),
      metrics_(metrics),
      choices_(metrics.histogram("vllm:request_params_n", "Choices (n) that requests ask for.",
                                 {{"engine", "0"}, {"model_name", model_.names.front()}}, {1, 2, 5, 10, 20})),
      created_(static_cast<int64_t>(std::time(nullptr))),
      pool_(options_.output_threads),
      ticker_(pool_, options_.limits.stream_silence_s_max / kTicksPerSilence) {}

void Service::install(server::HttpServer& http) {
  for (const Dialect* dialect : dialects()) {
    for (const Route& route : dialect->routes) {
      http.route(
          route.method, route.path,
          [this, handle = route.handle](const server::HttpRequest& request, std::shared_ptr<server::HttpReply> reply) {
            handle(*this, request, std::move(reply));
          });
    }
  }
  http.set_error_body([](const server::ServerError& error) {
    return dialect_of(error.path).error_body({error.status, std::string(error.message)}).body;
  });
  http.set_metrics(metrics_);
  if (options_.api_keys.empty()) return;
  http.set_gate([keys = std::make_shared<ApiKeys>(options_.api_keys)](const server::HttpRequest& request) {
    return keys->check(request);
  });
}

}  // namespace polymath::api
