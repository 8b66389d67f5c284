#include "api/openai/read_request.h"

#include <utility>

#include "api/handler.h"
#include "api/openai/logprob_fields.h"
#include "api/request/prefix_salt.h"
#include "api/request/text_bound.h"

namespace polymath::api {

absl::StatusOr<OpenAiRequest> read_openai_request(Service& service, Endpoint endpoint, const Call& call,
                                                  std::string& id, bool with_text) {
  ASSIGN_OR_RETURN(base::JsonValue json, parse_body(service, call.http));
  RETURN_IF_ERROR(check_client(call.reply));
  return read_openai_request(service, endpoint, JsonCall{call, std::move(json)}, id, with_text);
}

absl::StatusOr<OpenAiRequest> read_openai_request(Service& service, Endpoint endpoint, const JsonCall& json_call,
                                                  std::string& id, bool with_text) {
  const Call& call = json_call.call;
  const base::JsonValue& json = json_call.json;
  const ServiceOptions& options = service.options();
  const OpenAiLimits limits{options.limits, options.trust_request_chat_template};
  ASSIGN_OR_RETURN(OpenAiRequest request, parse_openai_request(json, endpoint, service.model(), limits));
  service.unknown_fields().warn(request.unknown_fields);
  if (!request.answer.request_id.empty()) id = request_id(service.limits(), call.http, request.answer.request_id);
  request.plan.place = place_of(call.http);
  request.plan.cache_salt = prefix_salt(call.http.principal, request.plan.cache_salt, options.share_prefix_cache);
  request.rules.stopped = [&reply = call.reply] { return reply.gone(); };
  if (with_text) request.answer.return_prompt_text = true;
  RETURN_IF_ERROR(resolve_prompts(request, service.model()));
  RETURN_IF_ERROR(bound_openai_answer(request, options.limits));
  return request;
}

}  // namespace polymath::api
