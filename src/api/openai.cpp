// OpenAI's /v1: completions, chat completions, models.

#include <ctime>
#include <utility>

#include "absl/strings/str_cat.h"
#include "api/dialects.h"
#include "api/openai_request.h"
#include "api/openai_writers.h"
#include "api/status.h"

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
  context.prompts = {request.plan.prompts, std::move(request.echo_texts)};
  context.request_id = std::move(id);
  context.silence_s_max = service.options().limits.stream_silence_s_max;
  return context;
}

absl::StatusOr<OpenAiRequest> read_request(const Service& service, Endpoint endpoint, const HttpRequest& http,
                                           std::string& id) {
  const ServiceOptions& options = service.options();
  ASSIGN_OR_RETURN(const base::JsonValue json,
                   base::parse_json(http.body, {.depth_max = options.limits.json_depth_max}));
  const OpenAiLimits limits{options.limits, options.trust_request_chat_template};
  ASSIGN_OR_RETURN(OpenAiRequest request, parse_openai_request(json, endpoint, service.model(), limits));
  if (!request.answer.request_id.empty()) id = request_id(service, http, request.answer.request_id);
  // A full queue is told before the work of tokenizing; submit() has the last word.
  if (service.engine().stats().waiting >= options.waiting_max) {
    return absl::ResourceExhaustedError("the queue is full; try again later");
  }
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
  service.choices_histogram().observe(request.plan.n);
  ASSIGN_OR_RETURN(auto generation,
                   Generation::submit({service.engine(), service.pool(), service.model()}, std::move(request.plan),
                                      make_writer(std::move(context), n_choices)));
  if (stream) service.ticker().add(generation);
  reply->on_gone([weak = std::weak_ptr<Generation>(generation)] {
    if (const auto running = weak.lock()) running->cancel();
  });
  return absl::OkStatus();
}

template <Endpoint endpoint>
void generate(Service& service, const HttpRequest& http, ReplyPtr reply) {
  std::string id = request_id(service, http, "");
  const absl::Status status = start(service, endpoint, http, reply, id);
  if (!status.ok()) send_error(*reply, name_field(status), id);
}

void models(Service& service, const HttpRequest& http, ReplyPtr reply) {
  const ServedModel& model = service.model();
  base::JsonArray data;
  for (const std::string& name : model.names) {
    base::JsonObject entry;
    entry["id"] = boost::json::string(name);
    entry["object"] = "model";
    entry["created"] = service.created();
    entry["owned_by"] = "polymath";
    entry["root"] = boost::json::string(model.root);
    entry["parent"] = nullptr;
    entry["max_model_len"] = model.model_len_max;
    entry["permission"] = base::JsonArray{};
    data.emplace_back(std::move(entry));
  }
  const base::JsonObject body{{"object", "list"}, {"data", std::move(data)}};
  send_json(*reply, base::to_text(body), request_id(service, http, ""));
}

constexpr Route kRoutes[] = {
    {"POST", "/v1/completions", generate<Endpoint::kCompletions>},
    {"POST", "/v1/chat/completions", generate<Endpoint::kChat>},
    {"GET", "/v1/models", models},
};

}  // namespace

std::span<const Route> openai_routes() { return kRoutes; }

}  // namespace polymath::api
