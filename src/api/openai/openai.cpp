#include "api/openai/openai.h"

#include <ctime>
#include <utility>

#include "absl/strings/str_cat.h"
#include "api/handler.h"
#include "api/openai/error.h"
#include "api/openai/request.h"
#include "api/openai/writers.h"

namespace polymath::api {
namespace {

using server::HttpReply;
using server::HttpRequest;
using ReplyPtr = std::shared_ptr<HttpReply>;

WriterContext make_context(const Service& service, Endpoint endpoint, OpenAiRequest& request, std::string id) {
  WriterContext context;
  context.head.endpoint = endpoint;
  context.head.id = absl::StrCat(endpoint == Endpoint::kChat ? "chatcmpl-" : "cmpl-", id);
  context.head.created = static_cast<int64_t>(std::time(nullptr));
  context.head.options = request.answer;
  // Without a tokenizer the ids are the answer.
  if (service.model().tokenizer == nullptr) context.head.options.return_token_ids = true;
  context.head.model = &service.model();
  context.head.n = request.plan.n;
  context.head.skip_special = request.plan.skip_special;
  context.prompts = {request.plan.prompts, std::move(request.echo_texts)};
  context.request_id = std::move(id);
  context.silence_s_max = service.options().limits.stream_silence_s_max;
  return context;
}

absl::StatusOr<OpenAiRequest> read_request(Service& service, Endpoint endpoint, const HttpRequest& http,
                                           std::string& id) {
  const ServiceOptions& options = service.options();
  ASSIGN_OR_RETURN(const base::JsonValue json, parse_body(service, http));
  const OpenAiLimits limits{options.limits, options.trust_request_chat_template};
  ASSIGN_OR_RETURN(OpenAiRequest request, parse_openai_request(json, endpoint, service.model(), limits));
  service.unknown_fields().warn(request.unknown_fields);
  if (!request.answer.request_id.empty()) id = request_id(service, http, request.answer.request_id);
  request.plan.place = place_of(http);
  RETURN_IF_ERROR(resolve_prompts(request, service.model()));
  return request;
}

absl::Status start(Service& service, Endpoint endpoint, const HttpRequest& http, const ReplyPtr& reply,
                   std::string& id) {
  ASSIGN_OR_RETURN(OpenAiRequest request, read_request(service, endpoint, http, id));
  WriterContext context = make_context(service, endpoint, request, id);
  context.reply = reply;
  const bool stream = request.answer.stream;
  const int n_choices = static_cast<int>(request.plan.prompts.size()) * request.plan.n;
  return start_generation(service, std::move(request.plan), make_writer(std::move(context), n_choices), reply, stream);
}

template <Endpoint endpoint>
void generate(Service& service, const HttpRequest& http, ReplyPtr reply) {
  std::string id = request_id(service, http, "");
  const absl::Status status = start(service, endpoint, http, reply, id);
  if (!status.ok()) send_error(*reply, openai_error, name_field(status), id);
}

constexpr std::string_view kModelPath = "/v1/models/*";

// GET /v1/models/<name>; a name may have slashes.
void model(Service& service, const HttpRequest& http, ReplyPtr reply) {
  const std::string id = request_id(service, http, "");
  const std::string_view name = std::string_view(http.path).substr(kModelPath.size() - 1);
  const absl::Status known = adapter_of(service.model(), name).status();
  if (!known.ok()) return send_error(*reply, openai_error, known, id);
  send_json(*reply, model_answer(service.model(), name, service.created()), id);
}

void models(Service& service, const HttpRequest& http, ReplyPtr reply) {
  send_json(*reply, models_answer(service.model(), service.created()), request_id(service, http, ""));
}

constexpr Route kRoutes[] = {
    {"POST", "/v1/completions", generate<Endpoint::kCompletions>, false, true},
    {"POST", "/v1/chat/completions", generate<Endpoint::kChat>, false, true},
    {"GET", "/v1/models", models},
    {"GET", kModelPath, model},
};

}  // namespace

const Dialect kOpenAiDialect{"openai", kRoutes, openai_error};

}  // namespace polymath::api
