#include "api/openai/stream_writer.h"

#include <algorithm>
#include <utility>

#include "api/handler.h"
#include "api/openai/error.h"
#include "api/openai/logprobs.h"

namespace polymath::api {

StreamWriter::StreamWriter(WriterContext context, int n_choices)
    : context_(std::move(context)),
      choices_(static_cast<size_t>(n_choices)),
      prompts_(context_.prompts.ids.size()),
      stream_(context_.reply, {{"X-Request-Id", context_.request_id}}, "data: ", context_.silence_s_max) {
  const AnswerHead& head = context_.head;
  for (int choice = 0; choice < n_choices; ++choice) {
    choices_[static_cast<size_t>(choice)].gathered.choice = choice;
    if (!head.options.logprobs) continue;
    const auto before = echoes_logprobs() && !head.is_chat() ? std::span<const int32_t>() : ids_of(choice);
    texts_.emplace_back(head.model->tokenizer.get(), before, head.skip_special);
  }
}

bool StreamWriter::has_all_tokens(size_t prompt) const {
  return prompts_[prompt].tokens.size() + 1 >= context_.prompts.ids[prompt].size();
}

void StreamWriter::on_prompt_token(int choice, int, const TokenInfo& token) {
  const size_t prompt = prompt_of(choice);
  prompts_[prompt].tokens.push_back(token);
  if (begun_ && has_all_tokens(prompt)) show(prompt);
}

void StreamWriter::on_delta(const Delta& delta, const Usage& so_far) {
  begin(so_far);
  Prompt& prompt = prompts_[prompt_of(delta.choice)];
  if (!prompt.shown) return prompt.waiting.push_back({delta, so_far});
  take(delta, so_far);
}

void StreamWriter::on_end(const ChoiceEnd& end, const Usage& so_far) {
  begin(so_far);
  times_ = join(times_, end.times);
  const size_t index = prompt_of(end.choice);
  Prompt& prompt = prompts_[index];
  if (prompt.shown) return take_end(end, so_far);
  prompt.waiting.push_back({end, so_far});
  if (end.choice % context_.head.n == 0) show(index);  // aborted: its prompt gets no further logprobs
}

void StreamWriter::take(const Delta& delta, const Usage& so_far) {
  Choice& choice = choices_[static_cast<size_t>(delta.choice)];
  choice.gathered.text += delta.text;
  for (const text::OutputEvent& event : delta.events) {
    if (event.kind != text::OutputKind::kCallEnd) text::append_event(choice.gathered.events, event);
  }
  choice.gathered.tokens.insert(choice.gathered.tokens.end(), delta.tokens.begin(), delta.tokens.end());
  const bool is_due = choice.gathered.tokens.size() >= static_cast<size_t>(context_.head.options.stream_interval);
  if (!choice.begun || is_due) send_gathered(choice, so_far);
}

void StreamWriter::send_gathered(Choice& choice, const Usage& so_far) {
  Delta delta{.choice = choice.gathered.choice};
  std::swap(delta, choice.gathered);
  const AnswerOptions& options = context_.head.options;
  const bool tokens_matter = (options.logprobs || options.return_token_ids) && !delta.tokens.empty();
  if (delta.text.empty() && delta.events.empty() && !tokens_matter) return;
  choice.begun = true;
  text::TokenTexts* const texts = options.logprobs ? &texts_[static_cast<size_t>(delta.choice)] : nullptr;
  stream_.event(delta_chunk(context_.head, delta, texts, &so_far));
}

void StreamWriter::take_end(const ChoiceEnd& end, const Usage& so_far) {
  send_gathered(choices_[static_cast<size_t>(end.choice)], so_far);
  stream_.event(end_chunk(context_.head, end, &so_far));
}

void StreamWriter::on_done(const Usage& usage) {
  if (context_.head.options.include_usage) stream_.event(usage_chunk(context_.head, usage, times_));
  stream_.event("[DONE]");
  stream_.close();
}

void StreamWriter::on_error(const absl::Status& error) {
  if (!stream_.is_open()) return send_error(*context_.reply, context_.errors, error, context_.request_id);
  stream_.event(openai_error(failure_of(error)).body);
  stream_.event("[DONE]");
  stream_.close();
}

void StreamWriter::begin(const Usage& so_far) {
  if (begun_) return;
  begun_ = true;
  at_begin_ = so_far;
  at_begin_.completion_tokens = 0;  // `so_far` may count the first token already
  stream_.open();
  for (size_t prompt = 0; prompt < prompts_.size(); ++prompt) {
    if (!echoes_logprobs() || context_.head.is_chat() || has_all_tokens(prompt)) show(prompt);
  }
}

// What precedes the choices of a prompt, and then what they have made so far.
void StreamWriter::show(size_t prompt) {
  const AnswerHead& head = context_.head;
  const AnswerPrompts& prompts = context_.prompts;
  const AnswerOptions& asked = head.options;
  const bool has_prompt_part =
      asked.echo || asked.return_token_ids || asked.return_prompt_text || asked.return_token_offsets;
  const auto first = static_cast<int>(prompt) * head.n;
  for (int choice = first; choice < first + head.n; ++choice) {
    if (head.is_chat()) {
      stream_.event(role_chunk(head, prompts, choice, &at_begin_));
      if (prompts.chat_echo.empty()) continue;
      stream_.event(delta_chunk(head, {.choice = choice, .text = prompts.chat_echo}, nullptr, &at_begin_));
    } else if (has_prompt_part) {
      text::TokenTexts* const texts = echoes_logprobs() ? &texts_[static_cast<size_t>(choice)] : nullptr;
      const PromptPart part{choice, prompts.facts[prompt], ids_of(choice), prompts_[prompt].tokens, texts};
      stream_.event(prompt_chunk(head, part, &at_begin_));
    }
  }
  prompts_[prompt].shown = true;
  prompts_[prompt].tokens = {};
  for (const Waiting& waiting : std::exchange(prompts_[prompt].waiting, {})) {
    if (const auto* delta = std::get_if<Delta>(&waiting.what)) {
      take(*delta, waiting.so_far);
    } else {
      take_end(std::get<ChoiceEnd>(waiting.what), waiting.so_far);
    }
  }
}

}  // namespace polymath::api
