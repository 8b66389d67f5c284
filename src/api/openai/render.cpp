#include "api/openai/render.h"

#include <utility>

#include "api/json_values.h"
#include "api/openai/answer.h"

namespace polymath::api {
namespace {

base::JsonObject sampling_object(const GenerationPlan& plan, int n, size_t prompt) {
  const engine::SamplingParams& sampling = plan.sampling;
  base::JsonObject out;
  out["n"] = n;
  out["max_tokens"] = plan.max_tokens[prompt];
  out["min_tokens"] = sampling.min_tokens;
  out["temperature"] = logprob_json(sampling.temperature);
  out["top_p"] = logprob_json(sampling.top_p);
  out["top_k"] = sampling.top_k;
  out["min_p"] = logprob_json(sampling.min_p);
  out["presence_penalty"] = logprob_json(sampling.presence_penalty);
  out["frequency_penalty"] = logprob_json(sampling.frequency_penalty);
  out["repetition_penalty"] = logprob_json(sampling.repetition_penalty);
  out["ignore_eos"] = sampling.ignore_eos;
  out["stop_token_ids"] = ids_json(sampling.stop_ids);
  base::JsonArray stop;
  for (const std::string& text : plan.stop) stop.emplace_back(text_json(text));
  out["stop"] = std::move(stop);
  return out;
}

}  // namespace

std::string rendered_answer(const OpenAiRequest& request, Endpoint endpoint, std::string_view id) {
  ListText list('[');
  for (size_t prompt = 0; prompt < request.plan.prompts.size(); ++prompt) {
    base::JsonObject one;
    one["request_id"] = text_json(id);
    one["model"] = text_json(request.answer.model);
    one["prompt"] = text_json(request.prompt_facts[prompt].text);
    one["token_ids"] = ids_json(request.plan.prompts[prompt]);
    add_token_facts(one, request.answer, request.prompt_facts[prompt], "token_offsets");
    one["sampling_params"] = sampling_object(request.plan, request.answer.n, prompt);
    if (endpoint == Endpoint::kChat) return base::to_text(one);
    list.add(std::move(one));
  }
  return list.close(']');
}

}  // namespace polymath::api
