#include "api/openai/answer.h"

#include <algorithm>
#include <span>
#include <utility>

#include "api/json_values.h"
#include "api/openai/logprobs.h"

namespace polymath::api {
namespace {

base::JsonObject usage_object(const Usage& usage) {
  base::JsonObject out;
  out["prompt_tokens"] = usage.prompt_tokens;
  out["total_tokens"] = usage.prompt_tokens + usage.completion_tokens;
  out["completion_tokens"] = usage.completion_tokens;
  out["prompt_tokens_details"] = base::JsonObject{{"cached_tokens", usage.cached_tokens}};
  return out;
}

base::JsonObject head_object(const AnswerHead& head, bool is_chunk) {
  base::JsonObject out;
  out["id"] = text_json(head.id);
  if (head.is_chat()) {
    out["object"] = is_chunk ? "chat.completion.chunk" : "chat.completion";
  } else {
    out["object"] = "text_completion";
  }
  out["created"] = head.created;
  out["model"] = text_json(head.options.model);
  return out;
}

base::JsonObject chunk_object(const AnswerHead& head, base::JsonObject choice, const Usage* usage) {
  base::JsonObject out = head_object(head, true);
  out["choices"] = base::JsonArray{std::move(choice)};
  if (usage != nullptr && head.options.continuous_usage) {
    out["usage"] = usage_object(*usage);
  } else if (head.options.include_usage) {
    out["usage"] = nullptr;
  }
  return out;
}

LogprobNames names_of(const AnswerHead& head) { return {head.model, head.options.tokens_as_ids}; }

base::JsonArray ids_of(const std::vector<TokenInfo>& tokens) {
  base::JsonArray ids;
  for (const TokenInfo& token : tokens) ids.emplace_back(token.id);
  return ids;
}

base::JsonValue stop_reason(const ChoiceEnd& end) {
  if (!end.stop_string.empty()) return text_json(end.stop_string);
  if (end.stop_id.has_value()) return *end.stop_id;
  return nullptr;
}

// A chunk's choice, with the text where the endpoint has it.
base::JsonObject chunk_choice(const AnswerHead& head, int index, std::string_view text) {
  base::JsonObject choice;
  choice["index"] = index;
  if (head.is_chat()) {
    choice["delta"] = base::JsonObject{{"content", text_json(text)}};
  } else {
    choice["text"] = text_json(text);
  }
  choice["logprobs"] = nullptr;
  choice["finish_reason"] = nullptr;
  return choice;
}

// The logprobs of one choice of a completion; under echo the prompt's come first.
base::JsonValue completion_logprobs(const AnswerHead& head, const CollectedChoice& choice,
                                    const std::vector<int32_t>& prompt) {
  const bool echo = head.options.echo && !prompt.empty();
  text::TokenTexts texts(head.model->tokenizer.get(), echo ? std::span<const int32_t>() : prompt, head.skip_special);
  CompletionLogprobs out(names_of(head), head.options.top_logprobs, texts);
  if (echo) {
    out.add_first(prompt.front());
    for (const TokenInfo& token : choice.prompt_tokens) out.add(token);
  }
  for (const TokenInfo& token : choice.tokens) out.add(token);
  return out.take();
}

base::JsonObject completion_choice(const AnswerHead& head, const AnswerPrompts& prompts, int index,
                                   const CollectedChoice& choice) {
  const size_t prompt = static_cast<size_t>(index / head.n);
  base::JsonObject out;
  out["index"] = index;
  out["text"] = text_json(head.options.echo ? prompts.texts[prompt] + choice.text : choice.text);
  out["logprobs"] = nullptr;
  if (head.options.logprobs) out["logprobs"] = completion_logprobs(head, choice, prompts.ids[prompt]);
  out["finish_reason"] = text_json(choice.end.reason);
  out["stop_reason"] = stop_reason(choice.end);
  if (head.options.prompt_logprobs >= 0) {
    out["prompt_logprobs"] = prompt_logprobs(names_of(head), prompts.ids[prompt].front(), head.options.prompt_logprobs,
                                             choice.prompt_tokens);
  }
  if (head.options.return_token_ids) {
    out["token_ids"] = ids_of(choice.tokens);
    out["prompt_token_ids"] = ids_json(prompts.ids[prompt]);
  }
  return out;
}

base::JsonObject chat_choice(const AnswerHead& head, const AnswerPrompts& prompts, int index,
                             const CollectedChoice& choice) {
  base::JsonObject out;
  out["index"] = index;
  out["message"] = base::JsonObject{{"role", "assistant"}, {"content", text_json(choice.text)}, {"refusal", nullptr}};
  out["logprobs"] = nullptr;
  if (head.options.logprobs) {
    text::TokenTexts texts(head.model->tokenizer.get(), prompts.ids.front(), head.skip_special);
    out["logprobs"] = chat_logprobs(names_of(head), head.options.top_logprobs, choice.tokens, texts);
  }
  out["finish_reason"] = text_json(choice.end.reason);
  out["stop_reason"] = stop_reason(choice.end);
  if (head.options.return_token_ids) out["token_ids"] = ids_of(choice.tokens);
  return out;
}

base::JsonObject model_entry(const ServedModel& model, std::string_view name, int64_t created) {
  const auto found = std::find_if(model.adapters.begin(), model.adapters.end(),
                                  [&](const ServedAdapter& adapter) { return adapter.name == name; });
  const bool is_adapter = found != model.adapters.end();
  base::JsonObject entry;
  entry["id"] = text_json(name);
  entry["object"] = "model";
  entry["created"] = created;
  entry["owned_by"] = "polymath";
  entry["root"] = text_json(is_adapter ? found->root : model.root);
  entry["parent"] = nullptr;
  if (is_adapter) entry["parent"] = text_json(found->parent);
  entry["max_model_len"] = model.model_len_max;
  entry["permission"] = base::JsonArray{};
  return entry;
}

}  // namespace

std::string full_answer(const AnswerHead& head, const AnswerPrompts& prompts,
                        const std::vector<CollectedChoice>& choices, const Usage& usage) {
  base::JsonArray list;
  for (size_t i = 0; i < choices.size(); ++i) {
    const int index = static_cast<int>(i);
    list.emplace_back(head.is_chat() ? chat_choice(head, prompts, index, choices[i])
                                     : completion_choice(head, prompts, index, choices[i]));
  }
  base::JsonObject out = head_object(head, false);
  out["choices"] = std::move(list);
  out["usage"] = usage_object(usage);
  if (head.is_chat() && head.options.prompt_logprobs >= 0) {
    out["prompt_logprobs"] = prompt_logprobs(names_of(head), prompts.ids.front().front(), head.options.prompt_logprobs,
                                             choices.front().prompt_tokens);
  }
  if (head.is_chat() && head.options.return_token_ids) out["prompt_token_ids"] = ids_json(prompts.ids.front());
  return base::to_text(out);
}

std::string role_chunk(const AnswerHead& head, int choice, const std::vector<int32_t>& prompt_ids, const Usage* usage) {
  base::JsonObject out = chunk_choice(head, choice, "");
  out["delta"] = base::JsonObject{{"role", "assistant"}, {"content", ""}};
  base::JsonObject chunk = chunk_object(head, std::move(out), usage);
  if (head.options.return_token_ids && choice == 0) chunk["prompt_token_ids"] = ids_json(prompt_ids);
  return base::to_text(chunk);
}

std::string prompt_chunk(const AnswerHead& head, int choice, std::string_view text,
                         const std::vector<int32_t>& prompt_ids, const Usage* usage) {
  base::JsonObject out = chunk_choice(head, choice, text);
  if (head.options.return_token_ids) out["prompt_token_ids"] = ids_json(prompt_ids);
  return base::to_text(chunk_object(head, std::move(out), usage));
}

std::string delta_chunk(const AnswerHead& head, const Delta& delta, text::TokenTexts* texts, const Usage* usage) {
  base::JsonObject out = chunk_choice(head, delta.choice, delta.text);
  if (head.options.logprobs && !delta.tokens.empty()) {
    if (head.is_chat()) {
      out["logprobs"] = chat_logprobs(names_of(head), head.options.top_logprobs, delta.tokens, *texts);
    } else {
      CompletionLogprobs logprobs(names_of(head), head.options.top_logprobs, *texts);
      for (const TokenInfo& token : delta.tokens) logprobs.add(token);
      out["logprobs"] = logprobs.take();
    }
  }
  if (head.options.return_token_ids) out["token_ids"] = ids_of(delta.tokens);
  return base::to_text(chunk_object(head, std::move(out), usage));
}

std::string end_chunk(const AnswerHead& head, const ChoiceEnd& end, const Usage* usage) {
  base::JsonObject out = chunk_choice(head, end.choice, "");
  if (head.is_chat()) out["delta"] = base::JsonObject{};
  out["finish_reason"] = text_json(end.reason);
  out["stop_reason"] = stop_reason(end);
  return base::to_text(chunk_object(head, std::move(out), usage));
}

std::string usage_chunk(const AnswerHead& head, const Usage& usage) {
  base::JsonObject out = head_object(head, true);
  out["choices"] = base::JsonArray{};
  out["usage"] = usage_object(usage);
  return base::to_text(out);
}

std::string models_answer(const ServedModel& model, int64_t created) {
  base::JsonArray data;
  for (const std::string& name : model.names) data.emplace_back(model_entry(model, name, created));
  for (const ServedAdapter& adapter : model.adapters) data.emplace_back(model_entry(model, adapter.name, created));
  return base::to_text(base::JsonObject{{"object", "list"}, {"data", std::move(data)}});
}

std::string model_answer(const ServedModel& model, std::string_view name, int64_t created) {
  return base::to_text(model_entry(model, name, created));
}

}  // namespace polymath::api
