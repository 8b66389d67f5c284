#include "api/messages/messages.h"

#include <utility>

#include "api/handler.h"
#include "api/messages/answer.h"
#include "api/messages/request.h"
#include "api/openai/read_request.h"
#include "api/request/field_names.h"
#include "api/request/text_bound.h"

namespace polymath::api {
namespace {

using server::HttpReply;
using server::HttpRequest;
using ReplyPtr = std::shared_ptr<HttpReply>;

constexpr FieldName kNames[] = {{"stop", "stop_sequences"},
                                {"response_format", "output_config.format"},
                                {"reasoning_effort", "output_config.effort"},
                                {"thinking_token_budget", "thinking.budget_tokens"}};

// Clients send a budget to models of any kind.
bool can_reason(const ServedModel& model, const base::JsonObject& chat) {
  const ServedTemplate* found = find_template(model, "", chat.contains("tools"));
  return found != nullptr && found->output.reasoning != nullptr;
}

absl::StatusOr<OpenAiRequest> read(Service& service, const Call& call, bool counts, std::string& id) {
  ASSIGN_OR_RETURN(const base::JsonValue json, parse_body(service, call.http));
  RETURN_IF_ERROR(check_client(call.reply));
  ASSIGN_OR_RETURN(ChatOfMessages chat, chat_of_messages(json, counts));
  if (counts) chat.chat.erase("max_tokens");
  if (counts || !can_reason(service.model(), chat.chat)) chat.chat.erase("thinking_token_budget");
  service.unknown_fields().warn(chat.unknown);
  return read_openai_request(service, Endpoint::kChat, {call, std::move(chat.chat)}, id);
}

absl::Status start(Service& service, const HttpRequest& http, const ReplyPtr& reply, std::string& id) {
  ASSIGN_OR_RETURN(OpenAiRequest request, read(service, {http, *reply}, /*counts=*/false, id));
  MessagesContext context{.model = request.answer.model,
                          .request_id = id,
                          .reply = reply,
                          .silence_s_max = service.options().limits.stream_silence_s_max};
  const bool stream = request.answer.stream;
  auto writer = make_messages_writer(std::move(context), stream);
  return start_generation(service, std::move(request.plan), std::move(writer), reply, stream).status();
}

void create(Service& service, const HttpRequest& http, ReplyPtr reply) {
  std::string id = request_id(service.limits(), http, "");
  const absl::Status status = start(service, http, reply, id);
  if (!status.ok()) send_error(*reply, messages_error, in_own_words(name_field(status), kNames), id);
}

void count_tokens(Service& service, const HttpRequest& http, ReplyPtr reply) {
  std::string id = request_id(service.limits(), http, "");
  const auto request = read(service, {http, *reply}, /*counts=*/true, id);
  if (!request.ok()) return send_error(*reply, messages_error, name_field(request.status()), id);
  const auto n_tokens = static_cast<int64_t>(request->plan.prompts.front().size());
  send_json(*reply, base::to_text(base::JsonObject{{"input_tokens", n_tokens}}), id);
}

constexpr Route kRoutes[] = {
    {"POST", "/v1/messages", create, false, true},
    {"POST", "/v1/messages/count_tokens", count_tokens},
};

}  // namespace

const Dialect kMessagesDialect{"messages", kRoutes, messages_error};

}  // namespace polymath::api
