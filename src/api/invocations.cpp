// POST /invocations, as SageMaker calls a server: the body's members say which endpoint is meant.

#include "api/dialects.h"
#include "api/handler.h"
#include "api/openai/error.h"

namespace polymath::api {
namespace {

using server::HttpReply;
using server::HttpRequest;

struct Meaning {
  std::string_view member;
  std::string_view path;
};
// The first member that the body has decides.
constexpr Meaning kMeanings[] = {
    {"messages", "/v1/chat/completions"},
    {"prompt", "/v1/completions"},
    {"inputs", "/"},
};

absl::StatusOr<const Route*> meant_route(const Service& service, const HttpRequest& http) {
  ASSIGN_OR_RETURN(const base::JsonValue json, parse_body(service, http));
  const base::JsonReader j(json);
  RETURN_IF_ERROR(j.status());
  for (const Meaning& meaning : kMeanings) {
    if (j.has(meaning.member)) return find_route("POST", meaning.path);
  }
  return invalid("messages", "missing; send messages (a chat), prompt (a completion) or inputs (as to POST /)");
}

void invoke(Service& service, const HttpRequest& http, std::shared_ptr<HttpReply> reply) {
  const auto route = meant_route(service, http);
  if (route.ok()) return (*route)->handle(service, http, std::move(reply));
  send_error(*reply, service.error_body(openai_error), route.status(), request_id(service.limits(), http, ""));
}

constexpr Route kRoutes[] = {
    {"POST", "/invocations", invoke, false, true},
};

}  // namespace

const Dialect kInvocationsDialect{"invocations", kRoutes, openai_error};

}  // namespace polymath::api
