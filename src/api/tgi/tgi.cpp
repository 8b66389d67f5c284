#include "api/tgi/tgi.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "api/handler.h"
#include "api/request/answer_size.h"
#include "api/request/prefix_salt.h"
#include "api/tgi/answer.h"
#include "api/tgi/error.h"
#include "api/tgi/request.h"

namespace polymath::api {
namespace {

using server::HttpReply;
using server::HttpRequest;
using ReplyPtr = std::shared_ptr<HttpReply>;

// POST / wraps the answer in an array, as Hugging Face's hosted inference does.
enum class Shape { kObject, kArray, kCount };

class TgiWriter : public CollectingWriter {
 public:
  TgiWriter(const ServedModel& model, TgiAnswer answer, Shape shape, ReplyPtr reply, std::string request_id)
      : CollectingWriter(1),
        model_(model),
        answer_(std::move(answer)),
        shape_(shape),
        reply_(std::move(reply)),
        request_id_(std::move(request_id)) {}

  void on_error(const absl::Status& error) override { send_error(*reply_, tgi_error, error, request_id_); }

 private:
  void answer(std::vector<CollectedChoice> choices, const Usage&) override {
    const CollectedChoice& choice = choices.front();
    if (choice.end.reason == engine::finish_reason_name(engine::FinishReason::kCancelled)) {
      return on_error(absl::AbortedError("the server is shutting down"));
    }
    base::JsonObject body = tgi_answer(answer_, model_, choice);
    send_json(*reply_, shape_ == Shape::kArray ? base::to_text(base::JsonArray{std::move(body)}) : base::to_text(body),
              request_id_);
  }

  const ServedModel& model_;
  const TgiAnswer answer_;
  const Shape shape_;
  const ReplyPtr reply_;
  const std::string request_id_;
};

absl::Status start(Service& service, const HttpRequest& http, Shape shape, const ReplyPtr& reply,
                   const std::string& id) {
  ASSIGN_OR_RETURN(const base::JsonValue json, parse_body(service, http));
  ASSIGN_OR_RETURN(TgiRequest request, parse_tgi_request(json, service.model(), service.options().limits));
  request.plan.place = place_of(http);
  request.plan.cache_salt = prefix_salt(http.principal, "", service.options().share_prefix_cache);
  RETURN_IF_ERROR(resolve_tgi_prompt(request, service.model()));
  const AnswerBytes bytes{.of_prompt_token = logprob_bytes(request.plan.sampling.prompt_logprobs),
                          .prompt_copies = 1,
                          .of_output_token = logprob_bytes(request.plan.sampling.logprobs),
                          .prompt_field = "decoder_input_details",
                          .output_field = "top_n_tokens"};
  RETURN_IF_ERROR(bound_answer(bytes, request.rules, service.options().limits, request.plan));
  TgiAnswer answer{request.answer, std::move(request.inputs), request.plan.prompts.front(), request.plan.sampling.seed};
  auto writer = std::make_unique<TgiWriter>(service.model(), std::move(answer), shape, reply, id);
  return start_generation(service, std::move(request.plan), std::move(writer), reply, /*stream=*/false);
}

template <Shape shape>
void generate(Service& service, const HttpRequest& http, ReplyPtr reply) {
  const std::string id = request_id(service.limits(), http, "");
  const absl::Status status = start(service, http, shape, reply, id);
  if (!status.ok()) send_error(*reply, tgi_error, name_field(status), id);
}

// A route of TGI's that this server lacks: 404 in TGI's body, so that its clients can read why.
void not_here(Service& service, const HttpRequest& http, ReplyPtr reply) {
  const absl::Status status =
      absl::NotFoundError(absl::StrCat(http.path, " is not built yet; POST /generate and POST / are"));
  send_error(*reply, tgi_error, status, request_id(service.limits(), http, ""));
}

constexpr Route kRoutes[] = {
    {"POST", "/generate", generate<Shape::kObject>, false, true},
    {"POST", "/", generate<Shape::kArray>, false, true},
    {"POST", "/generate_stream", not_here},
    {"POST", "/chat_tokenize", not_here},
    {"POST", "/vertex", not_here},
    {"GET", "/info", not_here},
};

}  // namespace

const Dialect kTgiDialect{"tgi", kRoutes, tgi_error};

}  // namespace polymath::api
