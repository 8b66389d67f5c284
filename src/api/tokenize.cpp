// vLLM's /tokenize and /detokenize.

#include <utility>

#include "api/chat/chat_prompt.h"
#include "api/dialects.h"
#include "api/handler.h"
#include "api/json_values.h"
#include "api/openai/error.h"
#include "api/prompt.h"
#include "api/status.h"

namespace polymath::api {
namespace {

using server::HttpReply;
using server::HttpRequest;

absl::Status check_model(base::JsonReader& j, const ServedModel& model) {
  const std::string name = j.s("model", model.names.front());
  RETURN_IF_ERROR(name_field(j.status()));
  return adapter_of(model, name).status();
}

absl::StatusOr<std::vector<int32_t>> ids_of_request(base::JsonReader& j, const Service& service) {
  const ServedModel& model = service.model();
  if (j.has("prompt")) {
    const std::string prompt = j.s("prompt");
    const bool add_special = j.b("add_special_tokens", true);
    RETURN_IF_ERROR(name_field(j.status()));
    return encode_prompt(model, prompt, add_special);
  }
  if (!j.has("messages")) return invalid("prompt", "missing; send prompt, or messages");
  const bool add_special = j.b("add_special_tokens", false);
  RETURN_IF_ERROR(name_field(j.status()));
  const ServiceOptions& options = service.options();
  ASSIGN_OR_RETURN(const ChatPrompt chat,
                   parse_chat_prompt(j.value(), options.limits, options.trust_request_chat_template));
  ASSIGN_OR_RETURN(const std::string text, render_chat(model, chat));
  return encode_prompt(model, text, add_special);
}

absl::StatusOr<std::string> tokenize_body(const Service& service, const HttpRequest& request) {
  const ServedModel& model = service.model();
  ASSIGN_OR_RETURN(const base::JsonValue json, parse_body(service, request));
  base::JsonReader j(json);
  RETURN_IF_ERROR(j.status());
  RETURN_IF_ERROR(check_model(j, model));
  RETURN_IF_ERROR(need_tokenizer(model, "prompt"));
  ASSIGN_OR_RETURN(const auto ids, ids_of_request(j, service));
  const bool with_text = j.b("return_token_strs", false);
  RETURN_IF_ERROR(name_field(j.status()));
  base::JsonObject out;
  out["count"] = ids.size();
  out["max_model_len"] = model.model_len_max;
  out["tokens"] = ids_json(ids);
  out["token_strs"] = nullptr;
  if (with_text) {
    base::JsonArray texts;
    for (const int32_t id : ids) texts.emplace_back(boost::json::string(model.tokenizer->token_text(id)));
    out["token_strs"] = std::move(texts);
  }
  return base::to_text(out);
}

absl::StatusOr<std::string> detokenize_body(const Service& service, const HttpRequest& request) {
  const ServedModel& model = service.model();
  ASSIGN_OR_RETURN(const base::JsonValue json, parse_body(service, request));
  base::JsonReader j(json);
  RETURN_IF_ERROR(j.status());
  RETURN_IF_ERROR(check_model(j, model));
  RETURN_IF_ERROR(need_tokenizer(model, "tokens"));
  const auto* tokens = j.find("tokens");
  if (tokens == nullptr) return invalid("tokens", "missing");
  ASSIGN_OR_RETURN(const auto ids, parse_ids(*tokens, "tokens", model.vocab));
  return base::to_text(base::JsonObject{{"prompt", boost::json::string(model.tokenizer->decode(ids, false))}});
}

template <absl::StatusOr<std::string> (*Body)(const Service&, const HttpRequest&)>
void answer(Service& service, const HttpRequest& request, std::shared_ptr<HttpReply> reply) {
  const std::string id = request_id(service, request, "");
  auto body = Body(service, request);
  if (!body.ok()) return send_error(*reply, service.error_body(openai_error), body.status(), id);
  send_json(*reply, *std::move(body), id);
}

constexpr Route kRoutes[] = {
    {"POST", "/tokenize", answer<tokenize_body>},
    {"POST", "/detokenize", answer<detokenize_body>},
};

}  // namespace

const Dialect kTokenizeDialect{"tokenize", kRoutes, openai_error};

}  // namespace polymath::api
