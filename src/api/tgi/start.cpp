#include "api/tgi/start.h"

#include <utility>

#include "api/handler.h"
#include "api/request/answer_size.h"
#include "api/request/prefix_salt.h"
#include "text/token_texts.h"

namespace polymath::api {
namespace {

// A stream keeps none of its output.
AnswerBytes answer_bytes(const TgiRequest& request) {
  const engine::SamplingParams& sampling = request.plan.sampling;
  return {.of_prompt_token = logprob_bytes(sampling.prompt_logprobs),
          .prompt_copies = request.plan.n,
          .of_output_token = request.stream ? 0 : logprob_bytes(sampling.logprobs),
          .prompt_field = "decoder_input_details",
          .output_field = request.answer.top_tokens ? "top_n_tokens" : "best_of"};
}

}  // namespace

absl::StatusOr<TgiRequest> prepare_tgi(Service& service, const TgiCall& call, const TgiRoute& route,
                                       const base::JsonValue& json) {
  const ServiceOptions& options = service.options();
  ASSIGN_OR_RETURN(TgiRequest request, parse_tgi_request(json, route, service.model(), options.limits));
  request.plan.cache_salt = prefix_salt(call.http.principal, "", options.share_prefix_cache);
  request.rules.stopped = [reply = call.reply] { return reply->gone(); };
  RETURN_IF_ERROR(resolve_tgi_prompt(request, service.model()));
  RETURN_IF_ERROR(bound_answer(answer_bytes(request), request.rules, options.limits, request.plan));
  return request;
}

absl::Status start_tgi(Service& service, const TgiCall& call, TgiShape shape, TgiRequest request) {
  request.plan.place = place_of(call.http);
  const int64_t characters = text::count_characters(request.inputs);
  TgiWriterContext context{
      .model = service.model(),
      .answer = {request.answer, std::move(request.inputs), request.plan.prompts.front(), request.plan.sampling.seed},
      .shape = shape,
      .device = service.options().facts.device,
      .characters = characters,
      .arrived = call.arrived,
      .request_id = call.id,
      .reply = call.reply,
      .silence_s_max = service.options().limits.stream_silence_s_max};
  auto writer = make_tgi_writer(std::move(context), request.plan.n, request.stream);
  return start_generation(service, std::move(request.plan), std::move(writer), call.reply, request.stream).status();
}

}  // namespace polymath::api
