#include "api/responses/responses.h"

#include <ctime>
#include <utility>

#include "absl/strings/str_cat.h"
#include "api/handler.h"
#include "api/openai/error.h"
#include "api/openai/read_request.h"
#include "api/request/field_names.h"
#include "api/request/text_bound.h"
#include "api/responses/answer.h"
#include "api/responses/request.h"
#include "api/responses/store.h"

namespace polymath::api {
namespace {

using server::HttpReply;
using server::HttpRequest;
using ReplyPtr = std::shared_ptr<HttpReply>;

constexpr std::string_view kOnePath = "/v1/responses/*";
constexpr FieldName kNames[] = {
    {"max_tokens", "max_output_tokens"}, {"response_format", "text.format"}, {"reasoning_effort", "reasoning.effort"}};
constexpr std::string_view kInputItems = "/input_items";

absl::Status no_response(std::string_view id) {
  return absl::NotFoundError(absl::StrCat("there is no stored response `", excerpt(id, kParamBytesMax), "`"));
}

// The messages that the request goes on from.
absl::StatusOr<base::JsonArray> history_of(Service& service, const HttpRequest& http, const base::JsonValue& json) {
  ASSIGN_OR_RETURN(const std::string id, previous_response(json));
  if (id.empty()) return base::JsonArray{};
  const auto stored = service.responses().find(id, http.principal);
  if (stored == nullptr) return no_response(id);
  ASSIGN_OR_RETURN(base::JsonValue messages, base::parse_json(stored->messages, {}));
  return std::move(messages.get_array());
}

absl::Status start(Service& service, const HttpRequest& http, const ReplyPtr& reply, std::string& id) {
  const Call call{http, *reply};
  ASSIGN_OR_RETURN(const base::JsonValue json, parse_body(service, http));
  RETURN_IF_ERROR(check_client(*reply));
  ASSIGN_OR_RETURN(base::JsonArray history, history_of(service, http, json));
  ASSIGN_OR_RETURN(ChatOfResponses asked, chat_of_responses(json, std::move(history)));
  service.unknown_fields().warn(asked.unknown);
  ASSIGN_OR_RETURN(OpenAiRequest request,
                   read_openai_request(service, Endpoint::kChat, {call, std::move(asked.chat)}, id));
  ResponsesContext context{.model = request.answer.model,
                           .request_id = id,
                           .created = static_cast<int64_t>(std::time(nullptr)),
                           .echoed = std::move(asked.echoed),
                           .reply = reply,
                           .errors = service.error_body(openai_error),
                           .silence_s_max = service.options().limits.stream_silence_s_max,
                           .store = {}};
  if (asked.store) {
    context.store = [&store = service.responses(), owner = http.principal, messages = base::to_text(asked.messages),
                     input = base::to_text(asked.input)](const base::JsonObject& response,
                                                         const base::JsonObject& message) {
      const std::string others = messages.substr(0, messages.size() - 1);  // without the bracket
      store.add({.id = std::string(response.at("id").get_string()),
                 .owner = owner,
                 .body = base::to_text(response),
                 .input = input,
                 .messages = absl::StrCat(others, others.size() > 1 ? "," : "", base::to_text(message), "]")});
    };
  }
  const bool stream = request.answer.stream;
  auto writer = make_responses_writer(std::move(context), stream);
  return start_generation(service, std::move(request.plan), std::move(writer), reply, stream).status();
}

void create(Service& service, const HttpRequest& http, ReplyPtr reply) {
  std::string id = request_id(service.limits(), http, "");
  const absl::Status status = start(service, http, reply, id);
  if (status.ok()) return;
  send_error(*reply, service.error_body(openai_error), in_own_words(name_field(status), kNames), id);
}

// GET /v1/responses/<id>, and its input_items.
void read_one(Service& service, const HttpRequest& http, ReplyPtr reply) {
  const std::string request = request_id(service.limits(), http, "");
  std::string_view id = std::string_view(http.path).substr(kOnePath.size() - 1);
  const bool wants_input = id.ends_with(kInputItems);
  if (wants_input) id.remove_suffix(kInputItems.size());
  const auto stored = service.responses().find(id, http.principal);
  if (stored == nullptr) return send_error(*reply, service.error_body(openai_error), no_response(id), request);
  if (!wants_input) return send_json(*reply, stored->body, request);
  send_json(*reply, absl::StrCat(R"({"object":"list","has_more":false,"data":)", stored->input, "}"), request);
}

void delete_one(Service& service, const HttpRequest& http, ReplyPtr reply) {
  const std::string request = request_id(service.limits(), http, "");
  const std::string_view id = std::string_view(http.path).substr(kOnePath.size() - 1);
  if (!service.responses().erase(id, http.principal)) {
    return send_error(*reply, service.error_body(openai_error), no_response(id), request);
  }
  const base::JsonObject deleted{{"id", std::string(id)}, {"object", "response"}, {"deleted", true}};
  send_json(*reply, base::to_text(deleted), request);
}

// POST /v1/responses/<id>/cancel.
void cancel_one(Service& service, const HttpRequest& http, ReplyPtr reply) {
  const absl::Status status =
      not_built("", "only answers in the background are cancelled by a path; closing the connection cancels this one");
  send_error(*reply, service.error_body(openai_error), status, request_id(service.limits(), http, ""));
}

constexpr Route kRoutes[] = {
    {"POST", "/v1/responses", create, false, true},
    {"POST", kOnePath, cancel_one},
    {"GET", kOnePath, read_one},
    {"DELETE", kOnePath, delete_one},
};

}  // namespace

const Dialect kResponsesDialect{"responses", kRoutes, openai_error};

}  // namespace polymath::api
