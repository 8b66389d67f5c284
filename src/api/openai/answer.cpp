#include "api/openai/answer.h"

#include <algorithm>
#include <span>
#include <utility>

#include "absl/strings/str_cat.h"
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
  out["completion_tokens_details"] = base::JsonObject{{"reasoning_tokens", usage.reasoning_tokens}};
  return out;
}

// vLLM's names. Null where no token, or no second one, was made.
base::JsonObject metrics_object(const engine::RequestTimes& times, int n_tokens) {
  constexpr double kMs = 1000;
  const auto between = [](double from, double to) -> base::JsonValue {
    if (from == 0 || to == 0) return nullptr;
    return kMs * (to - from);
  };
  base::JsonObject out;
  out["time_to_first_token_ms"] = between(times.arrived, times.first_token);
  out["generation_time_ms"] = between(times.first_token, times.last_token);
  out["queue_time_ms"] = between(times.arrived, times.started);
  out["mean_itl_ms"] = nullptr;
  out["tokens_per_second"] = nullptr;
  const double seconds = times.last_token - times.started;
  if (times.first_token > 0 && n_tokens > 1) {
    out["mean_itl_ms"] = kMs * (times.last_token - times.first_token) / (n_tokens - 1);
  }
  if (times.first_token > 0 && seconds > 0) out["tokens_per_second"] = n_tokens / seconds;
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

// Members of a choice or of an answer that are JSON text already, in place of the object's own.
struct TextMember {
  std::string_view name;
  std::string json;  // empty: the object's own stays
};

void append_object(std::string& out, const base::JsonObject& object, std::span<const TextMember> texts) {
  ObjectText members(out);
  for (const auto& [key, value] : object) {
    const std::string_view name(key.data(), key.size());
    const auto text = std::find_if(texts.begin(), texts.end(), [&](const TextMember& t) { return t.name == name; });
    if (text != texts.end() && !text->json.empty()) {
      members.member(name) += text->json;
    } else {
      members.add(name, value);
    }
  }
  members.close();
}

// A chunk of one choice. `extra`: members of the chunk itself.
std::string chunk_text(const AnswerHead& head, const base::JsonObject& choice, const Usage* usage,
                       const TextMember& logprobs = {}, const base::JsonObject& extra = {}) {
  std::string out;
  ObjectText chunk(out);
  chunk.add_all(head_object(head, true));
  chunk.member("choices") += '[';
  append_object(out, choice, {&logprobs, 1});
  out += ']';
  if (usage != nullptr && head.options.continuous_usage) {
    chunk.add("usage", usage_object(*usage));
  } else if (head.options.include_usage) {
    chunk.add("usage", nullptr);
  }
  chunk.add_all(extra);
  chunk.close();
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
  if (end.reason == engine::finish_reason_name(engine::FinishReason::kRepetition)) return "repetition_detected";
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

// A choice and what it shares with the other choices of its prompt.
struct ShownChoice {
  int index = 0;
  const CollectedChoice& own;
  const std::vector<TokenInfo>& prompt_tokens;  // those of its prompt's first choice
  const std::vector<int32_t>& prompt;
};

// The logprobs of one choice of a completion; under echo the prompt's come first.
std::string completion_logprobs(const AnswerHead& head, const ShownChoice& choice) {
  const bool echo = head.options.echo && !choice.prompt.empty();
  const std::span<const int32_t> before = echo ? std::span<const int32_t>() : choice.prompt;
  text::TokenTexts texts(head.model->tokenizer.get(), before, head.skip_special);
  CompletionLogprobs logprobs(names_of(head), head.options.top_logprobs, texts);
  if (echo) {
    logprobs.add_first(choice.prompt.front());
    for (const TokenInfo& token : choice.prompt_tokens) logprobs.add(token);
  }
  for (const TokenInfo& token : choice.own.tokens) logprobs.add(token);
  std::string out;
  logprobs.append_to(out);
  return out;
}

std::string shown_prompt_logprobs(const AnswerHead& head, const ShownChoice& choice) {
  return prompt_logprobs(names_of(head), choice.prompt.front(), head.options.prompt_logprobs, choice.prompt_tokens);
}

// What the answer tells of a prompt: of a chat once, of a completion with each of its choices.
base::JsonObject prompt_members(const AnswerOptions& options, const std::vector<int32_t>& ids,
                                const PromptFacts& facts) {
  base::JsonObject out;
  if (options.return_token_ids) out["prompt_token_ids"] = ids_json(ids);
  if (options.return_prompt_text) out["prompt_text"] = text_json(facts.text);
  add_token_facts(out, options, facts, "prompt_token_offsets");
  return out;
}

void append_completion_choice(std::string& out, const AnswerHead& head, const PromptFacts& facts,
                              const ShownChoice& choice) {
  ObjectText object(out);
  object.add("index", choice.index);
  object.add("text", text_json(head.options.echo ? facts.text + choice.own.text : choice.own.text));
  object.member("logprobs") += head.options.logprobs ? completion_logprobs(head, choice) : "null";
  object.add("finish_reason", text_json(choice.own.end.reason));
  object.add("stop_reason", stop_reason(choice.own.end));
  if (head.options.prompt_logprobs >= 0) object.member("prompt_logprobs") += shown_prompt_logprobs(head, choice);
  if (head.options.return_token_ids) object.add("token_ids", ids_of(choice.own.tokens));
  object.add_all(prompt_members(head.options, choice.prompt, facts));
  object.close();
}

std::string shown_chat_logprobs(const AnswerHead& head, const ShownChoice& choice) {
  text::TokenTexts texts(head.model->tokenizer.get(), choice.prompt, head.skip_special);
  return chat_logprobs(names_of(head), head.options.top_logprobs, choice.own.tokens, texts);
}

void append_chat_choice(std::string& out, const AnswerHead& head, const std::string& echo, const ShownChoice& choice) {
  ObjectText object(out);
  object.add("index", choice.index);
  object.add("message", chat_message(choice.own.events, choice.own.text, echo, head.calls));
  object.member("logprobs") += head.options.logprobs ? shown_chat_logprobs(head, choice) : "null";
  object.add("finish_reason", text_json(chat_finish_reason(choice.own.end, head.calls)));
  object.add("stop_reason", stop_reason(choice.own.end));
  if (head.options.return_token_ids) object.add("token_ids", ids_of(choice.own.tokens));
  object.close();
}

// The choices' texts, one behind the other: only one choice's log-probabilities are in memory twice.
void append_choices(std::string& out, const AnswerHead& head, const AnswerPrompts& prompts,
                    const std::vector<CollectedChoice>& choices) {
  out += '[';
  for (size_t i = 0; i < choices.size(); ++i) {
    const size_t prompt = i / static_cast<size_t>(head.n);
    const ShownChoice choice{static_cast<int>(i), choices[i],
                             choices[prompt * static_cast<size_t>(head.n)].prompt_tokens, prompts.ids[prompt]};
    if (i > 0) out += ',';
    if (head.is_chat()) {
      append_chat_choice(out, head, prompts.chat_echo, choice);
    } else {
      append_completion_choice(out, head, prompts.facts[prompt], choice);
    }
  }
  out += ']';
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

void add_token_facts(base::JsonObject& out, const AnswerOptions& options, const PromptFacts& facts,
                     std::string_view offsets_name) {
  if (options.return_token_offsets) {
    base::JsonValue& offsets = out[offsets_name] = nullptr;
    if (!facts.offsets.empty()) offsets = offsets_json(facts.offsets);
  }
  if (options.return_assistant_mask) out["assistant_tokens_mask"] = ids_json(facts.assistant_mask);
}

std::string full_answer(const AnswerHead& head, const AnswerPrompts& prompts,
                        const std::vector<CollectedChoice>& choices, const Usage& usage) {
  std::string out;
  ObjectText answer(out);
  answer.add_all(head_object(head, false));
  append_choices(answer.member("choices"), head, prompts, choices);
  answer.add("usage", usage_object(usage));
  if (head.is_chat() && head.options.prompt_logprobs >= 0) {
    answer.member("prompt_logprobs") +=
        shown_prompt_logprobs(head, {0, choices.front(), choices.front().prompt_tokens, prompts.ids.front()});
  }
  if (head.is_chat()) answer.add_all(prompt_members(head.options, prompts.ids.front(), prompts.facts.front()));
  if (head.options.metrics) {
    engine::RequestTimes times;
    for (const CollectedChoice& choice : choices) times = join(times, choice.end.times);
    answer.add("metrics", metrics_object(times, usage.completion_tokens));
  }
  answer.close();
  return out;
}

std::string role_chunk(const AnswerHead& head, const AnswerPrompts& prompts, int choice, const Usage* usage) {
  base::JsonObject out = chunk_choice(head, choice, "");
  out["delta"] = base::JsonObject{{"role", "assistant"}, {"content", ""}};
  base::JsonObject extra;
  if (choice == 0) extra = prompt_members(head.options, prompts.ids.front(), prompts.facts.front());
  return chunk_text(head, out, usage, {}, extra);
}

std::string prompt_chunk(const AnswerHead& head, const PromptPart& part, const Usage* usage) {
  base::JsonObject out = chunk_choice(head, part.choice, head.options.echo ? part.facts.text : "");
  TextMember logprobs{"logprobs"};
  if (part.texts != nullptr) {
    CompletionLogprobs list(names_of(head), head.options.top_logprobs, *part.texts);
    list.add_first(part.ids.front());
    for (const TokenInfo& token : part.tokens) list.add(token);
    list.append_to(logprobs.json);
  }
  for (const auto& member : prompt_members(head.options, part.ids, part.facts)) out[member.key()] = member.value();
  return chunk_text(head, out, usage, logprobs);
}

std::string delta_chunk(const AnswerHead& head, const Delta& delta, text::TokenTexts* texts, const Usage* usage) {
  base::JsonObject out = chunk_choice(head, delta.choice, delta.text);
  if (head.is_chat()) out["delta"] = chat_delta(delta.events, delta.text, head.calls);
  TextMember logprobs{"logprobs"};
  if (head.options.logprobs && !delta.tokens.empty()) {
    if (head.is_chat()) {
      logprobs.json = chat_logprobs(names_of(head), head.options.top_logprobs, delta.tokens, *texts);
    } else {
      CompletionLogprobs list(names_of(head), head.options.top_logprobs, *texts);
      for (const TokenInfo& token : delta.tokens) list.add(token);
      list.append_to(logprobs.json);
    }
  }
  if (head.options.return_token_ids) out["token_ids"] = ids_of(delta.tokens);
  return chunk_text(head, out, usage, logprobs);
}

std::string end_chunk(const AnswerHead& head, const ChoiceEnd& end, const Usage* usage) {
  base::JsonObject out = chunk_choice(head, end.choice, "");
  if (head.is_chat()) out["delta"] = base::JsonObject{};
  out["finish_reason"] = text_json(head.is_chat() ? chat_finish_reason(end, head.calls) : end.reason);
  out["stop_reason"] = stop_reason(end);
  return chunk_text(head, out, usage);
}

std::string usage_chunk(const AnswerHead& head, const Usage& usage, const engine::RequestTimes& times) {
  base::JsonObject out = head_object(head, true);
  out["choices"] = base::JsonArray{};
  out["usage"] = usage_object(usage);
  if (head.options.metrics) out["metrics"] = metrics_object(times, usage.completion_tokens);
  return base::to_text(out);
}

engine::RequestTimes join(const engine::RequestTimes& a, const engine::RequestTimes& b) {
  const auto first = [](double x, double y) { return x == 0 || y == 0 ? std::max(x, y) : std::min(x, y); };
  return {.arrived = first(a.arrived, b.arrived),
          .started = first(a.started, b.started),
          .first_token = first(a.first_token, b.first_token),
          .last_token = std::max(a.last_token, b.last_token)};
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
