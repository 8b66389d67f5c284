#include "api/tgi/answer.h"

#include <algorithm>
#include <utility>

#include "api/json_values.h"

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
base::JsonArray prefill_json(const TgiAnswer& answer, const ServedModel& model,
                             const std::vector<CollectedChoice>& choices) {
  base::JsonArray out;
  if (!answer.options.prefill || answer.prompt.empty()) return out;
  text::TokenTexts texts(model.tokenizer.get(), {}, /*skip_special=*/false);
  base::JsonObject first = token_json({.id = answer.prompt.front()}, texts.take(answer.prompt.front()));
  first["logprob"] = nullptr;
  out.emplace_back(std::move(first));
  for (const CollectedChoice& choice : choices) {  // one of them has the prompt's
    for (const TokenInfo& token : choice.prompt_tokens) {
      out.emplace_back(token_json(token.chosen, texts.take(token.chosen.id)));
    }
  }
  return out;
}

base::JsonArray top_json(const ServedModel& model, const TokenInfo& token, const text::TokenTexts& texts) {
  base::JsonArray top;
  for (const engine::TokenLogprob& t : token.top) top.emplace_back(output_token_json(model, t, texts.peek(t.id)));
  return top;
}

base::JsonValue seed_json(const TgiAnswer& answer, int choice) {
  if (!answer.options.sampled) return nullptr;
  return answer.seed + static_cast<uint64_t>(choice);
}

base::JsonValue text_of(const TgiAnswer& answer, std::string_view generated) {
  return text_json(answer.options.full_text ? answer.inputs + std::string(generated) : std::string(generated));
}

// Puts the details of a choice into `out`.
void add_details(const TgiAnswer& answer, const ServedModel& model, const CollectedChoice& choice,
                 const base::JsonArray& prefill, base::JsonObject& out) {
  base::JsonArray tokens, top_tokens;
  text::TokenTexts texts = tgi_token_texts(answer, model);
  for (const TokenInfo& token : choice.tokens) {
    if (answer.options.top_tokens) top_tokens.emplace_back(top_json(model, token, texts));
    tokens.emplace_back(output_token_json(model, token.chosen, texts.take(token.id)));
  }
  out["finish_reason"] = text_json(finish_reason(choice.end));
  out["generated_tokens"] = choice.tokens.size();
  out["seed"] = seed_json(answer, choice.end.choice);
  out["prefill"] = prefill;
  out["tokens"] = std::move(tokens);
  if (answer.options.top_tokens) out["top_tokens"] = std::move(top_tokens);
}

}  // namespace

text::TokenTexts tgi_token_texts(const TgiAnswer& answer, const ServedModel& model) {
  return {model.tokenizer.get(), answer.prompt, /*skip_special=*/true};
}

base::JsonObject tgi_answer(const TgiAnswer& answer, const ServedModel& model,
                            const std::vector<CollectedChoice>& choices) {
  base::JsonObject out;
  out["generated_text"] = text_of(answer, choices.front().text);
  if (!answer.options.details) return out;
  const base::JsonArray prefill = prefill_json(answer, model, choices);
  base::JsonObject details;
  add_details(answer, model, choices.front(), prefill, details);
  if (choices.size() > 1) {
    base::JsonArray others;
    for (auto choice = choices.begin() + 1; choice != choices.end(); ++choice) {
      base::JsonObject sequence{{"generated_text", text_of(answer, choice->text)}};
      add_details(answer, model, *choice, prefill, sequence);
      others.emplace_back(std::move(sequence));
    }
    details["best_of_sequences"] = std::move(others);
  }
  out["details"] = std::move(details);
  return out;
}

base::JsonObject tgi_event(const TgiAnswer& answer, const ServedModel& model, text::TokenTexts& texts,
                           const TgiEvent& event) {
  base::JsonObject out;
  out["index"] = event.index;
  base::JsonArray top = top_json(model, event.token, texts);
  out["token"] = output_token_json(model, event.token.chosen, texts.take(event.token.id));
  if (answer.options.top_tokens) out["top_tokens"] = std::move(top);
  out["generated_text"] = nullptr;
  out["details"] = nullptr;
  if (event.end == nullptr) return out;
  out["generated_text"] = text_of(answer, event.end->text);
  if (!answer.options.details) return out;
  out["details"] = base::JsonObject{{"finish_reason", text_json(finish_reason(event.end->end))},
                                    {"generated_tokens", event.index},
                                    {"seed", seed_json(answer, event.end->end.choice)},
                                    {"input_length", answer.prompt.size()}};
  return out;
}

}  // namespace polymath::api
