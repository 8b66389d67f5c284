#include "api/openai/openai.h"

#include <ctime>
#include <utility>

#include "absl/strings/str_cat.h"
#include "api/handler.h"
#include "api/openai/error.h"
#include "api/openai/read_request.h"
#include "api/openai/render.h"
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
  context.head.options.include_usage |= request.answer.stream && service.options().force_usage;
  // Without a tokenizer the ids are the answer.
  if (service.model().tokenizer == nullptr) context.head.options.return_token_ids = true;
  context.head.model = &service.model();
  context.head.n = request.answer.n;
  if (request.chat.has_value() && request.chat->legacy_functions) context.head.calls = CallShape::kFunction;
  context.candidates = request.plan.n;
  context.head.skip_special = request.plan.skip_special;
  context.head.options.metrics = service.options().request_metrics;
  context.prompts = {request.plan.prompts, std::move(request.prompt_facts), std::move(request.chat_echo)};
  context.request_id = std::move(id);
  context.errors = service.error_body(openai_error);
  context.silence_s_max = service.options().limits.stream_silence_s_max;
  return context;
}

absl::Status start_beams(Service& service, OpenAiRequest& request, WriterContext context) {
  const std::shared_ptr<HttpReply> reply = context.reply;
  context.candidates = request.answer.n;  // the search chooses
  service.counts().choices(request.answer.n);
  ASSIGN_OR_RETURN(auto search,
                   BeamSearch::start({service.engine(), service.pool(), service.model()}, std::move(request.plan),
                                     *request.beams, make_writer(std::move(context))));
  reply->on_gone([weak = std::weak_ptr<BeamSearch>(search)] {
    if (const auto running = weak.lock()) running->cancel();
  });
  return absl::OkStatus();
}

absl::Status start(Service& service, Endpoint endpoint, const HttpRequest& http, const ReplyPtr& reply,
                   std::string& id) {
  ASSIGN_OR_RETURN(OpenAiRequest request, read_openai_request(service, endpoint, {http, *reply}, id));
  WriterContext context = make_context(service, endpoint, request, id);
  context.reply = reply;
  const bool stream = request.answer.stream;
  if (request.beams.has_value()) return start_beams(service, request, std::move(context));
  return start_generation(service, std::move(request.plan), make_writer(std::move(context)), reply, stream).status();
}

template <Endpoint endpoint>
void generate(Service& service, const HttpRequest& http, ReplyPtr reply) {
  std::string id = request_id(service.limits(), http, "");
  const absl::Status status = start(service, endpoint, http, reply, id);
  if (!status.ok()) send_error(*reply, service.error_body(openai_error), name_field(status), id);
}

template <Endpoint endpoint>
void render(Service& service, const HttpRequest& http, ReplyPtr reply) {
  std::string id = request_id(service.limits(), http, "");
  const auto request = read_openai_request(service, endpoint, {http, *reply}, id, /*with_text=*/true);
  if (!request.ok()) {
    return send_error(*reply, service.error_body(openai_error), name_field(request.status()), id);
  }
  send_json(*reply, rendered_answer(*request, endpoint, id), id);
}

// GET /tokenizer_info: tokenizer_config.json as it is.
void tokenizer_info(Service& service, const HttpRequest& http, ReplyPtr reply) {
  const std::string id = request_id(service.limits(), http, "");
  absl::Status status = need_tokenizer(service.model(), "/tokenizer_info");
  if (!service.options().tokenizer_info) {
    status = absl::NotFoundError("/tokenizer_info needs --enable-tokenizer-info-endpoint");
  }
  if (!status.ok()) return send_error(*reply, service.error_body(openai_error), status, id);
  send_json(*reply, base::to_text(service.model().tokenizer_config), id);
}

constexpr std::string_view kModelPath = "/v1/models/*";

// GET /v1/models/<name>; a name may have slashes.
void model(Service& service, const HttpRequest& http, ReplyPtr reply) {
  const std::string id = request_id(service.limits(), http, "");
  const std::string_view name = std::string_view(http.path).substr(kModelPath.size() - 1);
  const absl::Status known = adapter_of(service.model(), name).status();
  if (!known.ok()) return send_error(*reply, service.error_body(openai_error), known, id);
  send_json(*reply, model_answer(service.model(), name, service.created()), id);
}

void models(Service& service, const HttpRequest& http, ReplyPtr reply) {
  send_json(*reply, models_answer(service.model(), service.created()), request_id(service.limits(), http, ""));
}

constexpr Route kRoutes[] = {
    {"POST", "/v1/completions", generate<Endpoint::kCompletions>, false, true},
    {"POST", "/v1/chat/completions", generate<Endpoint::kChat>, false, true},
    {"POST", "/v1/completions/render", render<Endpoint::kCompletions>},
    {"POST", "/v1/chat/completions/render", render<Endpoint::kChat>},
    {"GET", "/tokenizer_info", tokenizer_info},
    {"GET", "/v1/models", models},
    {"GET", kModelPath, model},
};

}  // namespace

const Dialect kOpenAiDialect{"openai", kRoutes, openai_error};

}  // namespace polymath::api
