#include "engine/loop.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/clock.h"
#include "engine/sampling/params.h"

namespace polymath::engine {
namespace {

constexpr double kTickSeconds = 1;
constexpr uint64_t kLoadSteps = 100;  // the experts' load is read this often, and at each tick

SchedulerLimits scheduler_limits(const EngineOptions& options) {
  return {.block_size = options.block_size,
          .n_blocks = options.n_blocks,
          .sequences_max = options.sequences_max,
          .step_tokens_max = options.step_tokens_max,
          .mixed_prefill_tokens_max = options.mixed_prefill_tokens_max,
          .waiting_max = options.waiting_max + options.sequences_max,  // Engine::submit holds the narrower bound
          .prefix_caching = options.prefix_caching,
          .policy = find_policy(options.priority_policy ? "priority" : "fcfs")};
}

bool contains(const std::vector<int32_t>& ids, int32_t id) {
  return std::find(ids.begin(), ids.end(), id) != ids.end();
}

}  // namespace

Loop::Loop(model::Model& model, const EngineOptions& options, base::MetricsRegistry& registry)
    : model_(model),
      options_(options),
      vocab_(model.vocab()),
      scheduler_(scheduler_limits(options)),
      builder_(scheduler_limits(options), options.model_len_max),
      sampler_(vocab_),
      metrics_(options, model, registry) {
  CHECK(options.n_blocks >= 2 && options.model_len_max >= 2);
  answers_.reserve(options.waiting_max + options.sequences_max);
  ended_.reserve(answers_.capacity());
}

absl::Status Loop::check(const Request& request) const {
  const int64_t prompt_len = static_cast<int64_t>(request.prompt.size());
  if (prompt_len == 0) return absl::InvalidArgumentError("prompt is empty");
  if (prompt_len >= options_.model_len_max) {
    return absl::InvalidArgumentError(
        absl::StrCat("prompt has ", prompt_len, " tokens, and this model takes ", options_.model_len_max,
                     " tokens at most, prompt and at least one token of output together"));
  }
  for (const int32_t id : request.prompt) {
    if (id >= 0 && id < vocab_) continue;
    return absl::InvalidArgumentError(
        absl::StrCat("prompt has token ", id, ", and the vocabulary has ids from 0 to ", vocab_ - 1));
  }
  RETURN_IF_ERROR(check_sampling(request.sampling, vocab_));
  return scheduler_.check_fits(
      static_cast<int>(std::min<int64_t>(prompt_len + request.sampling.max_tokens, options_.model_len_max)));
}

std::unique_ptr<Answer> Loop::make_answer(Request request, RequestId id) const {
  CHECK(request.sink != nullptr);
  const int64_t wanted = static_cast<int64_t>(request.prompt.size()) + request.sampling.max_tokens;
  const int token_len_max = static_cast<int>(std::min<int64_t>(wanted, options_.model_len_max));
  auto answer = std::make_unique<Answer>(std::move(request.prompt), token_len_max, options_.block_size);
  answer->arrival = id;
  answer->priority = request.priority;
  if (request.sampling.prompt_logprobs >= 0) answer->logits_from = 0;
  if (options_.prefix_caching) {
    kvcache::BlockHasher hasher(scheduler_.cache_seed());
    answer->hash_prompt(hasher, request.cache_salt, options_.block_size);
  }
  answer->sampling = std::move(request.sampling);
  answer->mask = std::move(request.mask);
  answer->sink = std::move(request.sink);
  answer->times.arrived = base::steady_seconds();
  return answer;
}

void Loop::admit(std::unique_ptr<Answer> answer) {
  CHECK(scheduler_.admit(*answer).ok());
  answer->index = answers_.size();
  answers_.push_back(std::move(answer));
}

// Backwards, since end() puts the last answer in the place of the one that ended.
void Loop::end_marked() {
  for (size_t i = answers_.size(); i-- > 0;) {
    const CancelMark mark = answers_[i]->mark.load(std::memory_order_relaxed);
    if (mark == CancelMark::kNone) continue;
    end(*answers_[i], mark == CancelMark::kStop ? FinishReason::kStop : FinishReason::kCancelled);
  }
  watch(base::steady_seconds());
}

void Loop::end_all(FinishReason reason, const std::string& error) {
  while (!answers_.empty()) end(*answers_.back(), reason, error);
  watch(base::steady_seconds());
}

absl::Status Loop::step() {
  const StepPlan plan = scheduler_.plan();
  CHECK(!plan.items.empty());
  note_started(plan);
  const model::Batch& batch = builder_.build(plan);
  const auto logits = model_.forward(batch);
  if (!logits.ok()) return logits.status();
  ++stats_.steps;
  int n_prompt = 0;
  for (const auto& [sequence, n_tokens] : plan.items) {
    n_prompt += std::clamp(sequence->prompt_len - sequence->computed_len, 0, n_tokens);
  }
  stats_.prompt_tokens_computed += n_prompt;
  metrics_.step(base::steady_seconds(), batch.n_tokens(), n_prompt);
  scheduler_.commit(plan);
  int64_t row = 0;
  for (const auto& item : plan.items) row = deliver(item, *logits, row);
  CHECK(row == static_cast<int64_t>(batch.logit_rows.size()));
  watch(base::steady_seconds());
  return absl::OkStatus();
}

void Loop::note_started(const StepPlan& plan) {
  const double now = base::steady_seconds();
  for (const auto& item : plan.items) {
    auto& answer = static_cast<Answer&>(*item.sequence);
    if (answer.times.started > 0) continue;
    answer.times.started = now;
    stats_.prompt_tokens_cached += answer.cached_len;
    metrics_.started(answer.times, answer);
  }
}

// The rows of one item, from `row` on; returns where the next item's begin. The scheduler has committed the step.
int64_t Loop::deliver(const StepPlan::Item& item, const tensor::Tensor& logits, int64_t row) {
  auto& answer = static_cast<Answer&>(*item.sequence);
  const int begin = answer.computed_len - item.n_tokens, end = answer.computed_len;
  const int last = answer.token_len() - 1;
  bool alive = true;
  for (int position = begin; position < end; ++position) {
    if (!answer.wants_logits(position)) continue;
    const std::span<const float> values(logits.f32() + row * vocab_, vocab_);
    ++row;
    if (!alive) continue;
    if (position < last) {
      alive = tell_prompt(answer, values, position);
    } else {
      choose(answer, values);
      break;
    }
  }
  return row;
}

// False: the answer ended, since the logits were no numbers.
bool Loop::tell_prompt(Answer& answer, std::span<const float> logits, int position) {
  if (!is_sane(logits)) {
    end(answer, FinishReason::kError, "the model's logits are not numbers (NaN or infinity)");
    return false;
  }
  const auto told = sampler_.logprobs(logits, answer.tokens[position + 1], answer.sampling.prompt_logprobs);
  answer.logits_from = position + 1;
  answer.sink->on_prompt_logprobs({position + 1, told.chosen, told.top});
  return true;
}

void Loop::choose(Answer& answer, std::span<const float> logits) {
  const auto id = sampler_.sample({answer.sampling, logits, answer.prompt(), answer.output(), answer.mask.get()});
  if (!id.ok()) {
    end(answer, FinishReason::kError, std::string(id.status().message()));
    return;
  }
  append(answer, *id, logits);
  const int n_output = static_cast<int>(answer.output().size());
  const SamplingParams& p = answer.sampling;
  const bool stops = contains(p.stop_ids, *id) || (!p.ignore_eos && contains(p.eos_ids, *id));
  if (stops && n_output >= p.min_tokens) {
    end(answer, FinishReason::kStop, "", *id);
  } else if (answer.token_len() == answer.token_len_max) {
    end(answer, FinishReason::kLength);
  }
}

void Loop::append(Answer& answer, int32_t id, std::span<const float> logits) {
  const double now = base::steady_seconds();
  TokenOutput output{.id = id};
  if (answer.sampling.logprobs >= 0) {
    const auto told = sampler_.logprobs(logits, id, answer.sampling.logprobs);
    output.chosen = told.chosen;
    output.top = told.top;
  }
  if (answer.mask != nullptr) answer.mask->accept(id);
  answer.tokens.push_back(id);
  ++stats_.generated_tokens;
  metrics_.token(now, answer.times);
  if (answer.times.first_token == 0) answer.times.first_token = now;
  answer.times.last_token = now;
  answer.sink->on_token(output);
}

void Loop::end(Answer& answer, FinishReason reason, const std::string& error, std::optional<int32_t> stop_id) {
  scheduler_.finish(answer);
  const Finish finish{.reason = reason,
                      .stop_id = stop_id,
                      .error = error,
                      .prompt_tokens = answer.prompt_len,
                      .cached_tokens = std::max(0, answer.cached_len),
                      .output_tokens = static_cast<int>(answer.output().size())};
  metrics_.finished(base::steady_seconds(), answer.times, finish, answer.sampling.max_tokens);
  answer.sink->on_finish(finish);
  const size_t index = answer.index;
  ended_.push_back(std::move(answers_[index]));
  if (index + 1 < answers_.size()) {
    answers_[index] = std::move(answers_.back());
    answers_[index]->index = index;
  }
  answers_.pop_back();
}

EngineStats Loop::stats() const {
  EngineStats stats = stats_;
  stats.running = scheduler_.n_running();
  stats.waiting = scheduler_.n_waiting();
  stats.kv_usage = static_cast<double>(scheduler_.n_blocks_held()) / static_cast<double>(options_.n_blocks);
  stats.preemptions = scheduler_.counts().preemptions;
  return stats;
}

void Loop::watch(double now) {
  metrics_.levels(stats());
  metrics_.cache(scheduler_.counts());
  const bool due = now - ticked_at_ >= kTickSeconds;
  if (due || stats_.steps - load_read_at_ >= kLoadSteps || !busy()) {
    load_read_at_ = stats_.steps;
    metrics_.expert_load(model_);
  }
  if (due) tick();
}

bool Loop::tick() {
  const double now = base::steady_seconds();
  ticked_at_ = now;
  metrics_.tick(now, stats());
  return !metrics_.settled(now);
}

}  // namespace polymath::engine
