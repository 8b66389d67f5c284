// vLLM's /tokenize and /detokenize. A body with `inputs` is TGI's: api/tgi/tokenize.h answers it.

#include <utility>

#include "absl/strings/str_cat.h"
#include "api/chat/chat_prompt.h"
#include "api/dialects.h"
#include "api/handler.h"
#include "api/json_values.h"
#include "api/openai/error.h"
#include "api/prompt.h"
#include "api/request/text_bound.h"
#include "api/status.h"
#include "api/tgi/error.h"
#include "api/tgi/tokenize.h"
#include "text/token_offsets.h"

namespace polymath::api {
namespace {

using server::HttpReply;
using server::HttpRequest;

absl::Status check_model(base::JsonReader& j, const ServedModel& model) {
  const std::string name = j.s("model", model.names.front());
  RETURN_IF_ERROR(name_field(j.status()));
  return adapter_of(model, name).status();
}

struct TokenizeRequest {
  text::RenderedChat input;  // of a prompt: its text alone
  bool is_chat = false;
  bool add_special = true;
  bool strings = false, offsets = false, assistant_mask = false;  // what is wanted beside the ids
};

absl::StatusOr<text::RenderedChat> rendered_messages(const base::JsonReader& j, const Service& service) {
  const ServedModel& model = service.model();
  RETURN_IF_ERROR(check_text(model, text_bytes(*j.find("messages")), "messages"));
  const ServiceOptions& options = service.options();
  ASSIGN_OR_RETURN(const ChatPrompt chat,
                   parse_chat_prompt(j.value(), options.limits, options.trust_request_chat_template));
  return render_chat(model, chat);
}

absl::StatusOr<TokenizeRequest> parse_tokenize(base::JsonReader& j, const Service& service) {
  TokenizeRequest out;
  out.is_chat = !j.has("prompt");
  if (out.is_chat && !j.has("messages")) return invalid("prompt", "missing; send prompt, or messages");
  out.add_special = j.b("add_special_tokens", !out.is_chat);
  out.strings = j.b("return_token_strs", false);
  out.offsets = j.b("return_token_offsets", false);
  out.assistant_mask = j.b("return_assistant_tokens_mask", false);
  if (!out.is_chat) out.input.text = j.s("prompt");
  RETURN_IF_ERROR(name_field(j.status()));
  if (out.assistant_mask && !out.is_chat) return invalid("return_assistant_tokens_mask", "needs messages");
  if (out.is_chat) {
    ASSIGN_OR_RETURN(out.input, rendered_messages(j, service));
  }
  return out;
}

absl::StatusOr<std::string> tokenize_body(const Service& service, const base::JsonValue& json, const HttpReply& reply) {
  const ServedModel& model = service.model();
  base::JsonReader j(json);
  RETURN_IF_ERROR(j.status());
  RETURN_IF_ERROR(check_model(j, model));
  RETURN_IF_ERROR(need_tokenizer(model, "prompt"));
  ASSIGN_OR_RETURN(const TokenizeRequest request, parse_tokenize(j, service));
  RETURN_IF_ERROR(check_client(reply));
  const std::string& text = request.input.text;
  RETURN_IF_ERROR(check_text(model, text.size(), "prompt"));
  ASSIGN_OR_RETURN(EncodedText encoded, encode_prompt(model, text,
                                                      {.add_special = request.add_special,
                                                       .with_offsets = request.offsets || request.assistant_mask,
                                                       .bounds = {.stopped = [&reply] { return reply.gone(); }}}));
  base::JsonObject out;
  out["count"] = encoded.ids.size();
  out["max_model_len"] = model.model_len_max;
  out["tokens"] = ids_json(encoded.ids);
  out["token_strs"] = nullptr;
  if (request.strings) {
    base::JsonArray texts;
    for (const int32_t id : encoded.ids) texts.emplace_back(text_json(model.tokenizer->token_text(id)));
    out["token_strs"] = std::move(texts);
  }
  if (request.assistant_mask) {
    out["assistant_tokens_mask"] = ids_json(text::tokens_within(request.input.generated, encoded.tokens));
  }
  if (request.offsets) out["token_offsets"] = offsets_json(text::in_characters(text, std::move(encoded.tokens)));
  return base::to_text(out);
}

absl::StatusOr<std::string> detokenize_body(const Service& service, const base::JsonValue& json, const HttpReply&) {
  const ServedModel& model = service.model();
  base::JsonReader j(json);
  RETURN_IF_ERROR(j.status());
  RETURN_IF_ERROR(check_model(j, model));
  RETURN_IF_ERROR(need_tokenizer(model, "tokens"));
  const auto* tokens = j.find("tokens");
  if (tokens == nullptr) return invalid("tokens", "missing");
  if (tokens->is_array() && tokens->get_array().size() > static_cast<size_t>(model.model_len_max)) {
    return too_long("tokens", absl::StrCat("This model's maximum context length is ", model.model_len_max,
                                           " tokens. However, there are ", tokens->get_array().size(), "."));
  }
  ASSIGN_OR_RETURN(const auto ids, parse_ids(*tokens, "tokens", model.vocab));
  return base::to_text(base::JsonObject{{"prompt", boost::json::string(model.tokenizer->decode(ids, false))}});
}

using Body = absl::StatusOr<std::string> (*)(const Service&, const base::JsonValue&, const HttpReply&);

struct Meaning {
  Body body;
  ErrorBody errors;
};

// A body with `inputs` and no field of vLLM's is TGI's.
Meaning tokenize_meaning(const base::JsonValue& json, ErrorBody errors) {
  const auto has = [&](const char* name) { return json.is_object() && json.get_object().contains(name); };
  if (has("inputs") && !has("prompt") && !has("messages")) return {tgi_tokenize, tgi_error};
  return {tokenize_body, errors};
}

Meaning detokenize_meaning(const base::JsonValue&, ErrorBody errors) { return {detokenize_body, errors}; }

template <Meaning (*meaning_of)(const base::JsonValue&, ErrorBody)>
void answer(Service& service, const HttpRequest& request, std::shared_ptr<HttpReply> reply) {
  const std::string id = request_id(service.limits(), request, "");
  const ErrorBody errors = service.error_body(openai_error);
  const auto json = parse_body(service, request);
  if (!json.ok()) return send_error(*reply, errors, json.status(), id);
  if (reply->gone()) return;
  const Meaning meaning = meaning_of(*json, errors);
  auto body = meaning.body(service, *json, *reply);
  if (!body.ok()) return send_error(*reply, meaning.errors, body.status(), id);
  send_json(*reply, *std::move(body), id);
}

constexpr Route kRoutes[] = {
    {"POST", "/tokenize", answer<tokenize_meaning>},
    {"POST", "/detokenize", answer<detokenize_meaning>},
};

}  // namespace

const Dialect kTokenizeDialect{"tokenize", kRoutes, openai_error};

}  // namespace polymath::api
