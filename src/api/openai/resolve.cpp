// A request's prompts in token ids: through the chat template, or around the place to fill in.

#include <utility>

#include "absl/strings/str_cat.h"
#include "api/chat/messages.h"
#include "api/openai/request.h"
#include "api/output/answer_form.h"
#include "api/output/thinking_budget.h"
#include "api/status.h"
#include "text/token_offsets.h"

namespace polymath::api {
namespace {

std::string decode_ids(const ServedModel& model, const std::vector<int32_t>& ids, bool skip_special) {
  return model.tokenizer == nullptr ? "" : model.tokenizer->decode(ids, skip_special);
}

// What the answer goes on from, if the chat ends with the assistant's words.
std::string last_words(const ChatPrompt& chat) {
  const base::JsonObject& last = chat.messages.back().get_object();
  const auto* role = last.if_contains("role");
  const auto* content = last.if_contains("content");
  if (role == nullptr || *role != "assistant" || content == nullptr) return "";
  return std::string(content->is_array() ? joined_lines(content->get_array()) : content->as_string());
}

absl::Status check_min_tokens(const OpenAiRequest& request) {
  const bool is_forced = request.chat.has_value() && request.chat->force_call;
  if (request.plan.sampling.min_tokens == 0 || !(is_forced || request.form.has_value())) return absl::OkStatus();
  return invalid("min_tokens", "is not for an answer of a given form, which ends where the form does");
}

absl::Status compile_grammar(OpenAiRequest& request, const ServedModel& model) {
  if (!request.form.has_value()) return absl::OkStatus();
  ASSIGN_OR_RETURN(request.plan.grammar, compile_form(model, *request.form, preamble_of(request.plan.output)));
  return absl::OkStatus();
}

absl::Status resolve_chat(OpenAiRequest& request, const ServedModel& model) {
  const AnswerOptions& answer = request.answer;
  ASSIGN_OR_RETURN(RenderedPrompt rendered, render_chat(model, *request.chat));
  request.plan.output = make_output_plan(model, *request.chat, rendered.output, rendered.text);
  if (request.beams.has_value() && request.plan.output.format.calls != nullptr) {
    return invalid("tools", "are not for use_beam_search: true");
  }
  ASSIGN_OR_RETURN(request.form, answer_form(*request.chat, request.plan.output, std::move(request.form)));
  RETURN_IF_ERROR(compile_grammar(request, model));
  GenerationPlan& plan = request.plan;
  const int budget = request.chat->thinking_budget.value_or(-1);
  ASSIGN_OR_RETURN(plan.thinking, make_thinking_budget(model, plan.output, plan.sampling, budget));
  RETURN_IF_ERROR(check_stopped(request.rules.stopped));
  if (answer.echo) request.chat_echo = last_words(*request.chat);
  ASSIGN_OR_RETURN(AddedPrompt added, add_prompt(model, request.rules, rendered.text, request.plan));
  PromptFacts facts;
  if (answer.return_assistant_mask) facts.assistant_mask = text::tokens_within(rendered.generated, added.tokens);
  if (answer.return_token_offsets) facts.offsets = text::in_characters(rendered.text, std::move(added.tokens));
  if (answer.return_prompt_text) facts.text = std::move(rendered.text);
  request.prompt_facts.push_back(std::move(facts));
  return absl::OkStatus();
}

// The prompt and the suffix around the place that the model is to fill in.
absl::StatusOr<PromptInput> infilled(const OpenAiRequest& request, const ServedModel& model, PromptInput prompt) {
  if (!request.suffix.has_value()) return prompt;
  const auto* text = std::get_if<std::string>(&prompt);
  if (text == nullptr) return invalid("suffix", "needs a prompt of text");
  if (!model.infill.has_value()) {
    return invalid("suffix", "the model's tokenizer has no tokens for a prefix, a suffix and the middle between them");
  }
  return PromptInput(infill_prompt(*model.infill, *text, *request.suffix));
}

}  // namespace

absl::Status resolve_prompts(OpenAiRequest& request, const ServedModel& model) {
  RETURN_IF_ERROR(check_min_tokens(request));
  request.rules.with_offsets = request.answer.return_token_offsets || request.answer.return_assistant_mask;
  if (request.chat.has_value()) return resolve_chat(request, model);
  RETURN_IF_ERROR(compile_grammar(request, model));
  const bool wants_text = request.answer.echo || request.answer.return_prompt_text;
  for (PromptInput& prompt : request.prompts) {
    RETURN_IF_ERROR(check_stopped(request.rules.stopped));
    ASSIGN_OR_RETURN(prompt, infilled(request, model, std::move(prompt)));
    const auto* input = std::get_if<std::string>(&prompt);
    const bool is_text = input != nullptr;
    std::string text = is_text && (wants_text || request.rules.with_offsets) ? *input : "";
    ASSIGN_OR_RETURN(AddedPrompt added, add_prompt(model, request.rules, std::move(prompt), request.plan));
    PromptFacts& facts = request.prompt_facts.emplace_back();
    facts.offsets = text::in_characters(text, std::move(added.tokens));
    if (!wants_text) continue;
    if (!is_text || added.cut > 0) text = decode_ids(model, request.plan.prompts.back(), request.plan.skip_special);
    facts.text = std::move(text);
  }
  return absl::OkStatus();
}

}  // namespace polymath::api
