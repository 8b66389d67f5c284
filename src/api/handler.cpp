#include "api/handler.h"

#include <algorithm>
#include <cctype>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/hash.h"
#include "base/json_memory.h"

namespace polymath::api {
namespace {

bool is_harmless(std::string_view id, size_t bytes_max) {
  if (id.empty() || id.size() > bytes_max) return false;
  return std::all_of(id.begin(), id.end(), [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) || std::string_view("-_.:/+=").find(c) != std::string_view::npos;
  });
}

// A body's JSON takes some 25 times its bytes. That of smaller bodies is bounded by the number of workers.
constexpr size_t kUncountedBodyMax = 64u << 10;

std::string random_id() {
  uint64_t words[2];
  base::random_bytes(words, sizeof(words));
  return absl::StrFormat("%016x%016x", words[0], words[1]);
}

}  // namespace

absl::StatusOr<base::JsonValue> parse_body(const Service& service, const server::HttpRequest& request) {
  const base::JsonLimits limits{
      .depth_max = service.options().limits.json_depth_max, .mend_surrogates = true, .unique_keys = true};
  if (request.body.size() <= kUncountedBodyMax) return base::parse_json(request.body, limits);
  const auto never_fits = std::make_shared<bool>(false);
  const auto memory = boost::json::make_shared_resource<base::JsonMemory>(service.json_memory(), never_fits);
  auto parsed = base::parse_json(request.body, limits, memory);
  if (parsed.ok() || !*never_fits) return parsed;
  return invalid("", absl::StrCat("the JSON of this body takes more than the ", service.options().json_memory_max,
                                  " bytes of memory that the server has for it"));
}

std::string request_id(const ApiLimits& limits, const server::HttpRequest& request, std::string_view from_body) {
  const size_t bytes_max = limits.request_id_bytes_max;
  const std::string_view header = request.header("x-request-id");
  if (is_harmless(header, bytes_max)) return std::string(header);
  if (is_harmless(from_body, bytes_max)) return std::string(from_body);
  return random_id();
}

absl::StatusOr<std::shared_ptr<Generation>> start_generation(Service& service, GenerationPlan plan,
                                                             std::unique_ptr<AnswerWriter> writer,
                                                             const std::shared_ptr<server::HttpReply>& reply,
                                                             bool stream) {
  service.counts().choices(plan.n);
  ASSIGN_OR_RETURN(auto generation, Generation::submit({service.engine(), service.pool(), service.model(),
                                                        &service.counts().longest_choice()},
                                                       std::move(plan), std::move(writer)));
  if (stream && service.ticker() != nullptr) service.ticker()->add(generation);
  reply->on_gone([weak = std::weak_ptr<Generation>(generation)] {
    if (const auto running = weak.lock()) running->cancel();
  });
  return generation;
}

void send_json(server::HttpReply& reply, std::string body, std::string_view request_id, server::HttpHeaders headers) {
  headers.emplace_back("X-Request-Id", request_id);
  reply.send(200, "application/json", std::move(body), std::move(headers));
}

std::shared_ptr<engine::Place> place_of(const server::HttpRequest& request) {
  return std::static_pointer_cast<engine::Place>(request.ticket);
}

server::HttpServer::Refusal refusal_of(ErrorBody error_body, const absl::Status& status, std::string_view request_id) {
  ErrorReply error = error_body(failure_of(status));
  server::HttpHeaders headers = {{"X-Request-Id", std::string(request_id)}};
  if (error.http_status == 429 || error.http_status == 503) headers.emplace_back("Retry-After", "1");
  return {error.http_status, std::move(error.body), std::move(headers)};
}

void send_error(server::HttpReply& reply, ErrorBody error_body, const absl::Status& status,
                std::string_view request_id) {
  server::HttpServer::Refusal refusal = refusal_of(error_body, status, request_id);
  reply.send(refusal.status, "application/json", std::move(refusal.body), std::move(refusal.headers));
}

}  // namespace polymath::api
