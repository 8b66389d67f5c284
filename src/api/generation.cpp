#include "api/generation.h"

#include <algorithm>
#include <utility>

#include "api/output/thinking_budget.h"
#include "api/status.h"
#include "base/check.h"
#include "base/log.h"

namespace polymath::api {

class Generation::Sink : public engine::TokenSink {
 public:
  Sink(std::shared_ptr<Generation> generation, int choice) : generation_(std::move(generation)), choice_(choice) {}

  void on_token(const engine::TokenOutput& token) override {
    push({.kind = EventKind::kToken,
          .choice = choice_,
          .token = {token.id, token.sampled, {token.top.begin(), token.top.end()}}});
  }
  void on_prompt_logprobs(const engine::PromptLogprobs& p) override {
    push({.kind = EventKind::kPromptToken,
          .choice = choice_,
          .position = p.position,
          .token = {p.token.id, p.token, {p.top.begin(), p.top.end()}}});
  }
  void on_finish(const engine::Finish& finish) override {
    push({.kind = EventKind::kFinish, .choice = choice_, .finish = finish});
    generation_.reset();
  }

 private:
  void push(Event event) {
    if (generation_ != nullptr) generation_->push(std::move(event));
  }
  std::shared_ptr<Generation> generation_;
  const int choice_;
};

Generation::Generation(const Context& context, GenerationPlan plan, std::unique_ptr<AnswerWriter> writer)
    : context_(context), plan_(std::move(plan)), writer_(std::move(writer)) {
  for (size_t prompt = 0; prompt < plan_.prompts.size(); ++prompt) {
    usage_.prompt_tokens += static_cast<int>(plan_.prompts[prompt].size());  // once, for any number of choices
    for (int i = 0; i < plan_.n; ++i) {
      Choice choice;
      choice.prompt = static_cast<int>(prompt);
      choice.stop_strings_count = plan_.sampling.min_tokens == 0 || plan_.stop.empty();
      if (!plan_.output.format.is_plain()) {
        choice.parser = text::make_output_parser(plan_.output.format, plan_.output.options);
      }
      if (context_.model.tokenizer != nullptr) choice.text = make_detokenizer(choice, choice.stop_strings_count);
      choices_.push_back(std::move(choice));
    }
  }
  open_ = static_cast<int>(choices_.size());
}

absl::StatusOr<std::shared_ptr<Generation>> Generation::submit(const Context& context, GenerationPlan plan,
                                                               std::unique_ptr<AnswerWriter> writer) {
  std::shared_ptr<Generation> generation(new Generation(context, std::move(plan), std::move(writer)));
  RETURN_IF_ERROR(generation->submit_all());
  return generation;
}

absl::Status Generation::submit_all() {
  std::vector<engine::Request> requests(choices_.size());
  for (size_t i = 0; i < choices_.size(); ++i) {
    const int prompt = choices_[i].prompt;
    engine::Request& request = requests[i];
    request.prompt = plan_.prompts[prompt];
    request.sampling = plan_.sampling;
    const size_t of_prompt = i % static_cast<size_t>(plan_.n);
    request.sampling.max_tokens = plan_.max_tokens[prompt];
    request.sampling.seed += of_prompt;
    if (of_prompt > 0) request.sampling.prompt_logprobs = -1;  // the first choice's are everyone's
    request.cache_salt = plan_.cache_salt;
    request.priority = plan_.priority;
    request.adapter = plan_.adapter;
    request.mask = within_budget(plan_.thinking, make_mask(plan_.grammar));
    request.group = reinterpret_cast<uintptr_t>(this);
    request.sink = std::make_shared<Sink>(shared_from_this(), static_cast<int>(i));
  }
  ASSIGN_OR_RETURN(std::vector<engine::RequestId> ids, context_.engine.submit(std::move(requests), plan_.place.get()));
  for (size_t i = 0; i < choices_.size(); ++i) choices_[i].id = ids[i];
  {
    const std::lock_guard lock(mutex_);
    ids_ = std::move(ids);
    armed_ = true;
    if (events_.empty()) return absl::OkStatus();
  }
  context_.pool.schedule(shared_from_this());
  return absl::OkStatus();
}

void Generation::cancel() {
  std::vector<engine::RequestId> ids;
  {
    const std::lock_guard lock(mutex_);
    ids = ids_;
  }
  for (const engine::RequestId id : ids) context_.engine.cancel(id);
}

void Generation::push(Event event) {
  bool armed = false;
  {
    const std::lock_guard lock(mutex_);
    events_.push_back(std::move(event));
    armed = armed_;
  }
  if (armed) context_.pool.schedule(shared_from_this());
}

void Generation::run() {
  std::vector<Event> events;
  {
    const std::lock_guard lock(mutex_);
    events.swap(events_);
  }
  for (Event& event : events) {
    if (!failed_) handle(event);
  }
  if (!failed_) writer_->flush();
}

void Generation::handle(Event& event) {
  switch (event.kind) {
    case EventKind::kToken:
      return take_token(event.choice, std::move(event.token));
    case EventKind::kPromptToken:
      return writer_->on_prompt_token(event.choice, event.position, event.token);
    case EventKind::kFinish:
      return finish_choice(event.choice, event.finish);
    case EventKind::kCount:
      break;
  }
  CHECK(false);
}

bool Generation::may_stop_at(int32_t id) const {
  const engine::SamplingParams& s = plan_.sampling;
  if (std::find(s.stop_ids.begin(), s.stop_ids.end(), id) != s.stop_ids.end()) return true;
  return !s.ignore_eos && std::find(s.eos_ids.begin(), s.eos_ids.end(), id) != s.eos_ids.end();
}

void Generation::take_token(int index, TokenInfo token) {
  Choice& choice = choices_[index];
  if (choice.stopped || choice.finished || plan_.drop_output) return;
  if (choice.held.has_value()) {
    emit_token(choice, index, *std::exchange(choice.held, std::nullopt), true);
    if (choice.stopped) return;
  }
  if (may_stop_at(token.id)) {
    choice.held = std::move(token);
    return;
  }
  emit_token(choice, index, std::move(token), true);
}

void Generation::emit_token(Choice& choice, int index, TokenInfo token, bool with_text) {
  ++choice.n_tokens;
  ++usage_.completion_tokens;
  Delta delta{.choice = index};
  if (with_text) delta.text = detokenize(choice, token.id);
  delta.tokens.push_back(std::move(token));
  bool stops = choice.text != nullptr && choice.text->stopped();
  if (parse(choice, delta, /*is_last=*/stops)) stops = true;
  delta.last = stops || choice.finished || choice.n_tokens == plan_.max_tokens[static_cast<size_t>(choice.prompt)];
  writer_->on_delta(delta, usage_);
  if (!stops) return;
  choice.stopped = true;
  choice.stop_string = choice.text->stop_met();
  context_.engine.cancel(choice.id, /*as_stop=*/true);
}

// Finds the parts of the delta's text. True: the answer ends here, with the only call that the request permits.
bool Generation::parse(Choice& choice, Delta& delta, bool is_last) {
  if (choice.parser == nullptr) return false;
  if (choice.parser->in_reasoning()) usage_.reasoning_tokens += static_cast<int>(delta.tokens.size());
  text::OutputEvents& events = delta.events;
  choice.parser->push(delta.text, events);
  if (is_last) choice.parser->finish(events);
  if (plan_.output.hides_reasoning) {
    std::erase_if(events, [](const text::OutputEvent& event) { return event.kind == text::OutputKind::kReasoning; });
  }
  delta.text.clear();
  bool ends = false;
  for (size_t i = 0; i < events.size(); ++i) {
    text::OutputEvent& event = events[i];
    if (event.kind == text::OutputKind::kContent) delta.text += event.text;
    if (event.kind == text::OutputKind::kCallBegin) {
      ++choice.n_calls;
      if (event.id.empty()) event.id = new_call_id(plan_.output.format.calls->short_ids);
    }
    event.call = choice.n_calls - 1;
    if (event.kind != text::OutputKind::kCallEnd || !plan_.output.one_call) continue;
    events.resize(i + 1);
    ends = true;
  }
  return ends;
}

std::string Generation::detokenize(Choice& choice, int32_t id) {
  if (choice.text == nullptr) return "";
  std::string text = choice.text->push(id);
  if (choice.stop_strings_count) return text;
  // Stop strings count from min_tokens on. A detokenizer that has just returned text holds nothing back, so it can be
  // replaced then.
  choice.early.push_back(id);
  if (choice.n_tokens >= plan_.sampling.min_tokens && !text.empty()) {
    choice.text = make_detokenizer(choice, true);
    choice.stop_strings_count = true;
  }
  return text;
}

std::unique_ptr<text::Detokenizer> Generation::make_detokenizer(const Choice& choice, bool with_stop) const {
  text::DetokenizerOptions options{
      .stop = {}, .include_stop = plan_.include_stop, .skip_special = plan_.skip_special, .shown = plan_.output.shown};
  if (with_stop) options.stop = plan_.stop;
  if (choice.early.empty()) {
    return std::make_unique<text::Detokenizer>(*context_.model.tokenizer, plan_.prompts[choice.prompt], options);
  }
  std::vector<int32_t> before = plan_.prompts[choice.prompt];
  before.insert(before.end(), choice.early.begin(), choice.early.end());
  return std::make_unique<text::Detokenizer>(*context_.model.tokenizer, before, options);
}

bool Generation::nothing_was_generated() const {
  const bool none_ended = open_ == static_cast<int>(choices_.size());
  return none_ended && usage_.completion_tokens == 0 &&
         std::none_of(choices_.begin(), choices_.end(), [](const Choice& c) { return c.held.has_value(); });
}

void Generation::fail(const absl::Status& error) {
  failed_ = true;
  cancel();
  writer_->on_error(error);
}

void Generation::count_longest() const {
  if (context_.longest_choice == nullptr) return;
  for (size_t first = 0; first < choices_.size(); first += static_cast<size_t>(plan_.n)) {
    int longest = 0;
    for (int i = 0; i < plan_.n; ++i) longest = std::max(longest, choices_[first + static_cast<size_t>(i)].n_tokens);
    context_.longest_choice->observe(longest);
  }
}

void Generation::finish_choice(int index, const engine::Finish& finish) {
  Choice& choice = choices_[index];
  if (choice.finished) return;
  choice.finished = true;
  if (finish.reason == engine::FinishReason::kError) {
    base::log_error("api", "a generation failed: ", finish.error);
    return fail(absl::InternalError(finish.error));
  }
  // Its client is still there, so the server is stopping. Another replica can answer instead.
  if (finish.reason == engine::FinishReason::kCancelled && nothing_was_generated()) {
    return fail(absl::UnavailableError(kShuttingDown));
  }
  const bool at_stop_id = finish.stop_id.has_value() && !choice.stopped;
  if (choice.held.has_value()) {
    const bool with_text = !at_stop_id || plan_.include_stop;
    emit_token(choice, index, *std::exchange(choice.held, std::nullopt), with_text);
  }
  if (choice.text != nullptr && !choice.stopped) {
    Delta rest{.choice = index, .text = choice.text->finish()};
    parse(choice, rest, /*is_last=*/true);
    if (!rest.text.empty() || !rest.events.empty()) writer_->on_delta(rest, usage_);
  }
  ChoiceEnd end{.choice = index, .reason = engine::finish_reason_name(finish.reason), .times = finish.times};
  if (choice.stopped) {
    end.reason = engine::finish_reason_name(engine::FinishReason::kStop);
    end.stop_string = choice.stop_string;
  } else if (at_stop_id) {
    const auto& ids = plan_.sampling.stop_ids;
    if (std::find(ids.begin(), ids.end(), *finish.stop_id) != ids.end()) end.stop_id = finish.stop_id;
  }
  if (plan_.drop_output) end.reason = engine::finish_reason_name(engine::FinishReason::kLength);
  if (index % plan_.n == 0) usage_.cached_tokens += finish.cached_tokens;
  end.has_calls = choice.n_calls > 0;
  writer_->on_end(end, usage_);
  if (--open_ > 0) return;
  count_longest();
  writer_->on_done(usage_);
}

}  // namespace polymath::api
