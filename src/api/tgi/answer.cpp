#include "api/tgi/answer.h"

#include <algorithm>
#include <utility>

#include "api/json_values.h"
#include "text/token_texts.h"

namespace polymath::api {
namespace {

base::JsonObject token_json(const engine::TokenLogprob& token, const text::TokenText& text) {
  return {{"id", token.id}, {"text", text_json(text.text)}, {"logprob", logprob_json(token.logprob)}};
}

base::JsonObject output_token_json(const ServedModel& model, const engine::TokenLogprob& token,
                                   const text::TokenText& text) {
  base::JsonObject out = token_json(token, text);
  out["special"] = model.tokenizer->is_special(token.id);
  return out;
}

std::string_view finish_reason(const ChoiceEnd& end) {
  if (end.reason != engine::finish_reason_name(engine::FinishReason::kStop)) return "length";
  return end.stop_string.empty() ? "eos_token" : "stop_sequence";
}

// The first token has no logprob: nothing precedes it.
base::JsonArray prefill_json(const TgiAnswer& answer, const ServedModel& model, const CollectedChoice& choice) {
  base::JsonArray out;
  if (!answer.options.prefill || answer.prompt.empty()) return out;
  text::TokenTexts texts(model.tokenizer.get(), {}, /*skip_special=*/false);
  base::JsonObject first = token_json({.id = answer.prompt.front()}, texts.take(answer.prompt.front()));
  first["logprob"] = nullptr;
  out.emplace_back(std::move(first));
  for (const TokenInfo& token : choice.prompt_tokens) {
    out.emplace_back(token_json(token.chosen, texts.take(token.chosen.id)));
  }
  return out;
}

base::JsonArray top_tokens_json(const ServedModel& model, const std::vector<TokenInfo>& tokens,
                                text::TokenTexts texts) {
  base::JsonArray out;
  for (const TokenInfo& token : tokens) {
    base::JsonArray top;
    for (const engine::TokenLogprob& t : token.top) top.emplace_back(output_token_json(model, t, texts.peek(t.id)));
    texts.take(token.id);
    out.emplace_back(std::move(top));
  }
  return out;
}

}  // namespace

base::JsonObject tgi_answer(const TgiAnswer& answer, const ServedModel& model, const CollectedChoice& choice) {
  base::JsonObject out;
  out["generated_text"] = text_json(answer.options.full_text ? answer.inputs + choice.text : choice.text);
  if (!answer.options.details) return out;
  base::JsonArray tokens;
  const text::TokenTexts begin(model.tokenizer.get(), answer.prompt, /*skip_special=*/true);
  text::TokenTexts texts = begin;
  for (const TokenInfo& token : choice.tokens) {
    tokens.emplace_back(output_token_json(model, token.chosen, texts.take(token.id)));
  }
  base::JsonObject details;
  details["finish_reason"] = text_json(finish_reason(choice.end));
  details["generated_tokens"] = choice.tokens.size();
  details["seed"] = nullptr;
  if (answer.options.sampled) details["seed"] = answer.seed;
  details["prefill"] = prefill_json(answer, model, choice);
  details["tokens"] = std::move(tokens);
  if (answer.options.top_tokens) details["top_tokens"] = top_tokens_json(model, choice.tokens, begin);
  out["details"] = std::move(details);
  return out;
}

}  // namespace polymath::api
