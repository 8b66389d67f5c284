#include "api/service.h"

#include <algorithm>
#include <cctype>
#include <ctime>
#include <utility>

#include "absl/strings/str_format.h"
#include "api/auth.h"
#include "api/dialects.h"
#include "api/status.h"
#include "base/hash.h"

namespace polymath::api {
namespace {

constexpr double kTicksPerSilence = 4;  // so a silence lasts at most a quarter longer than the limit says

bool is_harmless(std::string_view id, size_t bytes_max) {
  if (id.empty() || id.size() > bytes_max) return false;
  return std::all_of(id.begin(), id.end(), [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) || std::string_view("-_.:/+=").find(c) != std::string_view::npos;
  });
}

std::string random_id() {
  uint64_t words[2];
  base::random_bytes(words, sizeof(words));
  return absl::StrFormat("%016x%016x", words[0], words[1]);
}

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
  for (const Dialect& dialect : dialects()) {
    for (const Route& route : dialect.routes) {
      http.route(
          route.method, route.path,
          [this, handle = route.handle](const server::HttpRequest& request, std::shared_ptr<server::HttpReply> reply) {
            handle(*this, request, std::move(reply));
          });
    }
  }
  http.set_error_body([](int status, std::string_view message) { return error_body(status, message); });
  http.set_metrics(metrics_);
  if (options_.api_keys.empty()) return;
  http.set_gate([keys = std::make_shared<ApiKeys>(options_.api_keys)](const server::HttpRequest& request) {
    return keys->check(request);
  });
}

std::string request_id(const Service& service, const server::HttpRequest& request, std::string_view from_body) {
  const size_t bytes_max = service.options().limits.request_id_bytes_max;
  const std::string_view header = request.header("x-request-id");
  if (is_harmless(header, bytes_max)) return std::string(header);
  if (is_harmless(from_body, bytes_max)) return std::string(from_body);
  return random_id();
}

void send_json(server::HttpReply& reply, std::string body, std::string_view request_id) {
  reply.send(200, "application/json", std::move(body), {{"X-Request-Id", std::string(request_id)}});
}

void send_error(server::HttpReply& reply, const absl::Status& status, std::string_view request_id) {
  const int http = http_status(status);
  server::HttpHeaders headers = {{"X-Request-Id", std::string(request_id)}};
  if (http == 429 || http == 503) headers.emplace_back("Retry-After", "1");
  // OpenAI's clients repeat every 5xx; what is not built will not be built a second later.
  if (http == 501) headers.emplace_back("X-Should-Retry", "false");
  reply.send(http, "application/json", error_body(status), std::move(headers));
}

}  // namespace polymath::api
