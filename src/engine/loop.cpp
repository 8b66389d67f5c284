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
      samples_on_device_(model.samples_on_device()),
      depth_(samples_on_device_ ? std::min(kInFlightMax, model.steps_in_flight_max()) : 1),
      scheduler_(scheduler_limits(options)),
      builder_(scheduler_limits(options), options.model_len_max),
      sampler_(vocab_),
      metrics_(options, model, registry) {
  CHECK(options.n_blocks >= 2 && options.model_len_max >= 2);
  answers_.reserve(options.waiting_max + options.sequences_max);
  ended_.reserve(answers_.capacity());
  for (InFlightStep& flight : in_flight_) flight.items.reserve(options.sequences_max);
  sampling_.reserve(options.sequences_max);
  host_rows_.reserve(options.sequences_max);
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
  if (!busy()) left_at_ = 0;
  watch(base::steady_seconds());
}

void Loop::end_all(FinishReason reason, const std::string& error) {
  while (!answers_.empty()) end(*answers_.back(), reason, error);
  while (n_in_flight() > 0) {  // the model is left at rest
    ++n_finished_;
    if (!model_.finish().ok()) forget_in_flight();
  }
  forget_in_flight();
  left_at_ = 0;
  watch(base::steady_seconds());
}

// The host's time of a step is all that this thread did since the last one was left, but for waiting for the device;
// and where the model computes on this very thread, but for that.
absl::Status Loop::step() {
  if (left_at_ == 0) left_at_ = base::steady_seconds();
  away_ = 0;
  const absl::Status status = start_and_finish();
  if (!status.ok()) {
    failed_ = true;
    forget_in_flight();
  }
  const double now = base::steady_seconds();
  metrics_.host_time(now - left_at_ - away_);
  left_at_ = busy() ? now : 0;
  return status;
}

absl::Status Loop::start_and_finish() {
  while (n_in_flight() < depth_ && plans_ahead()) {
    const StepPlan plan = scheduler_.plan();
    if (plan.items.empty()) break;
    RETURN_IF_ERROR(start(plan));
  }
  CHECK(n_in_flight() > 0);
  return finish();
}

// Not where most would have to be left out: they would settle into two steps of half the size each.
bool Loop::plans_ahead() const {
  if (n_in_flight() == 0) return true;
  const InFlightStep& last = in_flight_[(n_started_ - 1) % kInFlightMax];
  return last.n_on_device >= last.n_on_host;
}

absl::Status Loop::start(const StepPlan& plan) {
  note_started(plan);
  model::Batch batch = builder_.build(plan);
  InFlightStep& flight = in_flight_[n_started_ % kInFlightMax];
  note_rows(plan, flight);
  CHECK(flight.n_rows == static_cast<int>(batch.logit_rows.size()));
  flight.n_tokens = batch.n_tokens();
  if (samples_on_device_) {
    batch.sampling = sampling_;
    batch.host_rows = host_rows_;
  }
  if (n_started_ + 1 == fail_at_) faulty_ = model_.make_fault();
  const double begin = base::steady_seconds();
  RETURN_IF_ERROR(model_.start(batch));
  if (!samples_on_device_) away_ += base::steady_seconds() - begin;
  ++n_started_;
  scheduler_.commit(plan);
  for (const InFlightStep::Item& item : flight.items) item.answer->n_unknown += item.on_device ? 1 : 0;
  return absl::OkStatus();
}

// Which rows of logits are whose, and who chooses from them. Before the step is committed.
void Loop::note_rows(const StepPlan& plan, InFlightStep& flight) {
  flight.items.clear();
  sampling_.clear();
  host_rows_.clear();
  flight.n_prompt = flight.n_rows = flight.n_host_rows = flight.n_on_device = flight.n_on_host = 0;
  for (const auto& [sequence, n_tokens] : plan.items) {
    const int begin = sequence->computed_len, end = begin + n_tokens;
    InFlightStep::Item item{
        .answer = static_cast<Answer*>(sequence), .row = flight.n_rows, .host_row = flight.n_host_rows};
    item.told_from = std::max(begin, sequence->logits_from);
    item.n_told = std::max(0, std::min(end, sequence->prompt_len - 1) - item.told_from);
    for (int i = 0; i < item.n_told; ++i) {
      host_rows_.push_back(flight.n_rows++);
      sampling_.emplace_back();
    }
    flight.n_host_rows += item.n_told;
    item.samples = end == sequence->length();
    if (item.samples) note_choice(flight, item);
    flight.n_prompt += std::clamp(sequence->prompt_len - begin, 0, n_tokens);
    flight.items.push_back(item);
  }
}

void Loop::note_choice(InFlightStep& flight, InFlightStep::Item& item) {
  const Answer& answer = *item.answer;
  std::optional<model::SampleParams> params;
  if (samples_on_device_) {
    params = sampler_.for_device(
        {answer.sampling, {}, answer.prompt(), answer.output(), answer.mask.get(), answer.n_unknown});
  }
  item.on_device = params.has_value();
  ++(item.on_device ? flight.n_on_device : flight.n_on_host);
  if (!item.on_device) {
    host_rows_.push_back(flight.n_rows);
    ++flight.n_host_rows;
  }
  sampling_.push_back(params.value_or(model::SampleParams{}));
  ++flight.n_rows;
}

absl::Status Loop::finish() {
  const double begin = base::steady_seconds();
  const auto result = model_.finish();
  const double now = base::steady_seconds();
  away_ += now - begin;
  if (!result.ok()) return result.status();
  if (stats_.steps + 1 == fail_at_ && !faulty_) return absl::InternalError("this step was to fail");
  InFlightStep& flight = in_flight_[n_finished_++ % kInFlightMax];
  CHECK(static_cast<int>(result->ids.size()) == (samples_on_device_ ? flight.n_rows : 0));
  CHECK(result->logits.shape[0] == flight.n_host_rows);
  ++stats_.steps;
  stats_.prompt_tokens_computed += flight.n_prompt;
  metrics_.step(now, flight.n_tokens, flight.n_prompt);
  for (const InFlightStep::Item& item : flight.items) {
    if (item.answer != nullptr) deliver(item, *result);
  }
  flight.items.clear();
  watch(base::steady_seconds());
  return absl::OkStatus();
}

// After a failure: the model gives no results any more.
void Loop::forget_in_flight() {
  for (InFlightStep& flight : in_flight_) flight.items.clear();
  n_finished_ = n_started_;
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

void Loop::deliver(const InFlightStep::Item& item, const model::StepResult& result) {
  Answer& answer = *item.answer;  // stays where it is when it ends
  const int n_told = item.n_told;
  const auto logits = [&](int i) {
    return std::span<const float>(result.logits.f32() + int64_t{item.host_row + i} * vocab_, vocab_);
  };
  for (int i = 0; i < n_told; ++i) {
    if (!tell_prompt(answer, logits(i), item.told_from + i)) return;
  }
  if (!item.samples) return;
  if (!item.on_device) return choose(answer, logits(n_told));
  --answer.n_unknown;
  const int32_t id = result.ids[item.row + n_told];
  if (id == model::kNotNumbers) return end(answer, FinishReason::kError, kNotNumbersSentence);
  CHECK(id >= 0 && id < vocab_);
  take(answer, id, {});
}

// False: the answer ended, since the logits were no numbers.
bool Loop::tell_prompt(Answer& answer, std::span<const float> logits, int position) {
  if (!is_sane(logits)) {
    end(answer, FinishReason::kError, kNotNumbersSentence);
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
  take(answer, *id, logits);
}

// `logits`: empty, if the device chose it.
void Loop::take(Answer& answer, int32_t id, std::span<const float> logits) {
  append(answer, id, logits);
  const int n_output = static_cast<int>(answer.output().size());
  const SamplingParams& p = answer.sampling;
  const bool stops = contains(p.stop_ids, id) || (!p.ignore_eos && contains(p.eos_ids, id));
  if (stops && n_output >= p.min_tokens) {
    end(answer, FinishReason::kStop, "", id);
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
  scheduler_.share(answer);
  ++stats_.generated_tokens;
  metrics_.token(now, answer.times);
  if (answer.times.first_token == 0) answer.times.first_token = now;
  answer.times.last_token = now;
  answer.sink->on_token(output);
}

void Loop::end(Answer& answer, FinishReason reason, const std::string& error, std::optional<int32_t> stop_id) {
  scheduler_.finish(answer);
  for (InFlightStep& flight : in_flight_) {
    for (InFlightStep::Item& item : flight.items) {
      if (item.answer == &answer) item.answer = nullptr;
    }
  }
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
  if (!failed_ && (due || stats_.steps - load_read_at_ >= kLoadSteps || !busy())) {
    load_read_at_ = stats_.steps;
    const double begin = base::steady_seconds();
    metrics_.expert_load(model_);  // waits for the device
    away_ += base::steady_seconds() - begin;
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
