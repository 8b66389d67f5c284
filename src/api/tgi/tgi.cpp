#include "api/tgi/tgi.h"

#include <utility>

#include "api/handler.h"
#include "api/tgi/error.h"
#include "api/tgi/start.h"
#include "api/tgi/tokenize.h"
#include "base/clock.h"

namespace polymath::api {
namespace {

using server::HttpReply;
using server::HttpRequest;
using ReplyPtr = std::shared_ptr<HttpReply>;

struct GenerateRoute {
  TgiRoute route;
  TgiShape shape = TgiShape::kObject;
};
// As in TGI, /generate does not read "stream", and / shows the inputs before the answer.
constexpr GenerateRoute kGenerate{.route = {.stream = false}};
constexpr GenerateRoute kGenerateStream{.route = {.stream = true}};
constexpr GenerateRoute kRoot{.route = {.full_text = true}, .shape = TgiShape::kArray};

absl::Status start(Service& service, const TgiCall& call, const GenerateRoute& row) {
  ASSIGN_OR_RETURN(const base::JsonValue json, parse_body(service, call.http));
  ASSIGN_OR_RETURN(TgiRequest request, prepare_tgi(service, call.http, row.route, json));
  return start_tgi(service, call, row.shape, std::move(request));
}

template <const GenerateRoute& row>
void generate(Service& service, const HttpRequest& http, ReplyPtr reply) {
  const TgiCall call{http, std::move(reply), request_id(service.limits(), http, ""), base::steady_seconds()};
  const absl::Status status = start(service, call, row);
  if (!status.ok()) send_error(*call.reply, tgi_error, name_field(status), call.id);
}

void vertex(Service& service, const HttpRequest& http, ReplyPtr reply) {
  const TgiCall call{http, std::move(reply), request_id(service.limits(), http, ""), base::steady_seconds()};
  const absl::Status status = start_vertex(service, call);
  if (!status.ok()) send_error(*call.reply, tgi_error, name_field(status), call.id);
}

absl::StatusOr<std::string> chat_tokens(const Service& service, const HttpRequest& http, const HttpReply& reply) {
  ASSIGN_OR_RETURN(const base::JsonValue json, parse_body(service, http));
  return tgi_chat_tokenize(service, json, reply);
}

// A chat that its template refuses is an error of its own kind.
ErrorReply chat_error(const Failure& failure) {
  Failure out = failure;
  out.code = kTgiTemplateError;
  return tgi_error(out);
}

void chat_tokenize(Service& service, const HttpRequest& http, ReplyPtr reply) {
  const std::string id = request_id(service.limits(), http, "");
  auto body = chat_tokens(service, http, *reply);
  if (body.ok()) return send_json(*reply, *std::move(body), id);
  const bool of_template = absl::IsFailedPrecondition(body.status());
  send_error(*reply, of_template ? chat_error : tgi_error, name_field(body.status()), id);
}

void info(Service& service, const HttpRequest& http, ReplyPtr reply) {
  send_json(*reply, base::to_text(tgi_info(service)), request_id(service.limits(), http, ""));
}

constexpr Route kRoutes[] = {
    {"POST", "/generate", generate<kGenerate>, false, true},
    {"POST", "/generate_stream", generate<kGenerateStream>, false, true},
    {"POST", "/", generate<kRoot>, false, true},
    {"POST", "/chat_tokenize", chat_tokenize},
    {"POST", "/vertex", vertex, false, true},
    {"GET", "/info", info},
};

}  // namespace

const Dialect kTgiDialect{"tgi", kRoutes, tgi_error};

}  // namespace polymath::api
