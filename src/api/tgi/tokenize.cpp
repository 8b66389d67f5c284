#include "api/tgi/tokenize.h"

#include <string_view>
#include <utility>

#include "api/chat/chat_prompt.h"
#include "api/json_values.h"
#include "api/request/text_bound.h"
#include "api/status.h"
#include "text/utf8.h"

namespace polymath::api {
namespace {

absl::Status check_tokenizer(const ServedModel& model) {
  return model.tokenizer != nullptr ? absl::OkStatus() : absl::NotFoundError("No fast tokenizer available");
}

absl::StatusOr<base::JsonArray> tokens_of(const ServedModel& model, std::string_view sent, bool add_special,
                                          std::string_view field) {
  RETURN_IF_ERROR(check_text(model, sent.size(), field));
  const std::string text = text::sanitize_utf8(sent);  // what offsets count in
  base::JsonArray out;
  for (const text::TextToken& token : model.tokenizer->encode_with_offsets(text, add_special)) {
    out.emplace_back(base::JsonObject{{"id", token.id},
                                      {"text", text_json(text.substr(token.begin, token.end - token.begin))},
                                      {"start", token.begin},
                                      {"stop", token.end}});
  }
  return out;
}

}  // namespace

absl::StatusOr<std::string> tgi_tokenize(const Service& service, const base::JsonValue& json,
                                         const server::HttpReply&) {
  RETURN_IF_ERROR(check_tokenizer(service.model()));
  base::JsonReader j(json);
  RETURN_IF_ERROR(j.status());
  const std::string inputs = j.s("inputs");
  RETURN_IF_ERROR(name_field(j.status()));
  ASSIGN_OR_RETURN(base::JsonArray tokens, tokens_of(service.model(), inputs, /*add_special=*/true, "inputs"));
  return base::to_text(base::JsonValue(std::move(tokens)));
}

absl::StatusOr<std::string> tgi_chat_tokenize(const Service& service, const base::JsonValue& json,
                                              const server::HttpReply& reply) {
  const ServedModel& model = service.model();
  RETURN_IF_ERROR(check_tokenizer(model));
  base::JsonReader j(json);
  RETURN_IF_ERROR(j.status());
  if (!j.has("messages")) return invalid("messages", "missing");
  RETURN_IF_ERROR(check_text(model, text_bytes(*j.find("messages")), "messages"));
  const ServiceOptions& options = service.options();
  ASSIGN_OR_RETURN(const ChatPrompt chat, parse_chat_prompt(json, options.limits, options.trust_request_chat_template));
  const auto rendered = render_chat(model, chat);
  if (field_of(rendered.status()) == "messages") return absl::FailedPreconditionError(rendered.status().message());
  RETURN_IF_ERROR(rendered.status());
  RETURN_IF_ERROR(check_client(reply));
  const std::string& text = rendered->text;
  ASSIGN_OR_RETURN(base::JsonArray tokens, tokens_of(model, text, /*add_special=*/false, "messages"));
  return base::to_text(base::JsonObject{{"tokenize_response", std::move(tokens)}, {"templated_text", text_json(text)}});
}

}  // namespace polymath::api
