#include "engine/engine_loop.h"

#include <algorithm>
#include <chrono>
#include <exception>
#include <new>
#include <thread>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/clock.h"
#include "engine/sampling/params.h"

namespace polymath::engine {
namespace {

constexpr double kTickSeconds = 1;
constexpr uint64_t kLoadSteps = 100;  // the experts' load is read every so many steps, and at each tick

std::unique_ptr<Proposer> make_proposer(const SpeculationOptions& options) {
  return options.method.empty() ? nullptr : find_proposer(options.method)->create(options);
}

bool contains(const std::vector<int32_t>& ids, int32_t id) {
  return std::find(ids.begin(), ids.end(), id) != ids.end();
}

}  // namespace

EngineLoop::EngineLoop(model::Model& model, const EngineOptions& options, base::MetricsRegistry& registry)
    : model_(model),
      options_(options),
      vocab_(model.vocab()),
      samples_on_device_(model.samples_on_device() && options.speculation.method.empty()),
      depth_(steps_in_flight(model, samples_on_device_)),
      proposer_(make_proposer(options.speculation)),
      scheduler_(scheduler_limits(options)),
      builder_(scheduler_limits(options), options.model_len_max),
      sampler_(vocab_),
      metrics_(options, model, registry),
      times_(options.times) {
  CHECK(options.n_blocks >= 2 && options.model_len_max >= 2);
  CHECK(model.has_state() == (options.n_state_slots > 0));
  requests_.reserve(options.waiting_max + options.sequences_max);
  ended_.reserve(requests_.capacity());
  for (InFlightStep& flight : in_flight_) flight.items.reserve(options.sequences_max);
  sampling_.reserve(std::max(options.sequences_max, options.logit_rows_max));
  host_rows_.reserve(sampling_.capacity());
}

absl::Status EngineLoop::check(const Request& request) const {
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
  if (request.adapter < -1 || request.adapter >= model_.n_adapters()) {
    return absl::InvalidArgumentError(
        absl::StrCat("adapter ", request.adapter, " is not loaded; the model has ", model_.n_adapters()));
  }
  RETURN_IF_ERROR(check_sampling(request.sampling, vocab_));
  return scheduler_.check_fits(
      static_cast<int>(std::min<int64_t>(prompt_len + request.sampling.max_tokens, options_.model_len_max)));
}

std::unique_ptr<RunningRequest> EngineLoop::make_request(Request request, RequestId id) const {
  CHECK(request.sink != nullptr);
  const int64_t wanted = static_cast<int64_t>(request.prompt.size()) + request.sampling.max_tokens;
  const int token_len_max = static_cast<int>(std::min<int64_t>(wanted, options_.model_len_max));
  auto running = std::make_unique<RunningRequest>(std::move(request.prompt), token_len_max, options_.block_size);
  running->arrival = id;
  running->priority = request.priority;
  running->adapter = request.adapter;
  running->group = request.group;
  if (request.sampling.prompt_logprobs >= 0) running->logits_from = 0;
  if (options_.prefix_caching) {
    kvcache::BlockHasher hasher(scheduler_.cache_seed());
    running->hash_prompt(hasher, request.cache_salt, options_.block_size);
  }
  running->drafts.reserve(options_.speculation.n_draft_max);
  running->sampling = std::move(request.sampling);
  if (running->sampling.repetition.pattern_max > 0) running->repetition.emplace(running->sampling.repetition);
  running->mask = std::move(request.mask);
  running->sink.set(std::move(request.sink));
  running->times.arrived = base::steady_seconds();
  return running;
}

void EngineLoop::admit(std::unique_ptr<RunningRequest> request) {
  CHECK(scheduler_.admit(*request).ok());
  request->index = requests_.size();
  metrics_.admitted(*request);
  requests_.push_back(std::move(request));
}

// Backwards: end() moves the last request into the gap.
void EngineLoop::end_marked() {
  for (size_t i = requests_.size(); i-- > 0;) {
    const CancelMark mark = requests_[i]->mark.load(std::memory_order_relaxed);
    if (mark == CancelMark::kNone) continue;
    end(*requests_[i], mark == CancelMark::kStop ? FinishReason::kStop : FinishReason::kCancelled);
  }
  if (!busy()) left_at_ = 0;
  watch(base::steady_seconds());
}

void EngineLoop::end_queued() {
  const auto never_ran = [](const RunningRequest& request) { return request.cached_len < 0; };
  absl::flat_hash_set<uint64_t> begun;
  for (const auto& request : requests_) {
    if (!never_ran(*request) && request->group != 0) begun.insert(request->group);
  }
  for (size_t i = requests_.size(); i-- > 0;) {
    if (never_ran(*requests_[i]) && !begun.contains(requests_[i]->group)) {
      end(*requests_[i], FinishReason::kCancelled);
    }
  }
  if (!busy()) left_at_ = 0;
  watch(base::steady_seconds());
}

void EngineLoop::end_all(FinishReason reason, const std::string& error) {
  while (!requests_.empty()) end(*requests_.back(), reason, error);
  while (n_in_flight() > 0) {  // leaves the model idle
    ++n_finished_;
    if (!model_.finish().ok()) forget_in_flight();
  }
  forget_in_flight();
  left_at_ = 0;
  watch(base::steady_seconds());
}

// The host's time is all since the last step returned, except waiting for the device. A model that computes on this
// thread counts as a device.
absl::Status EngineLoop::step() {
  if (left_at_ == 0) left_at_ = base::steady_seconds();
  away_ = 0;
  const absl::Status status = start_and_finish_caught();
  if (!status.ok()) {
    failed_ = true;
    metrics_.step_failed(in_flight_[n_finished_ % kInFlightMax].n_prompt > 0);
    forget_in_flight();
  }
  const double now = base::steady_seconds();
  metrics_.host_time(now - left_at_ - away_);
  left_at_ = busy() ? now : 0;
  return status;
}

absl::Status EngineLoop::start_and_finish_caught() {
  try {
    return start_and_finish();
  } catch (const std::bad_alloc&) {
    return absl::ResourceExhaustedError("no memory is left");
  } catch (const std::exception& error) {
    return absl::InternalError(error.what());
  }
}

absl::Status EngineLoop::start_and_finish() {
  while (n_in_flight() < depth_ && plans_ahead()) {
    if (proposer_ != nullptr) propose();
    StepRoom room;
    room.mixed_prefill_max = mixed_prompt_tokens(
        options_.mixing, times_, {scheduler_.n_decoding(), scheduler_.n_waiting_tokens()}, options_.step_tokens_max);
    if (!samples_on_device_ && depth_ > 1) share_out(room, depth_, scheduler_);
    const StepPlan plan = scheduler_.plan(room);
    if (plan.items.empty()) break;
    RETURN_IF_ERROR(start(plan));
  }
  CHECK(n_in_flight() > 0);
  return finish();
}

// Not if the host samples for most sequences of a device. They skip every other step, so steps would settle at half the
// size.
bool EngineLoop::plans_ahead() const {
  if (n_in_flight() == 0 || !samples_on_device_) return true;
  const InFlightStep& last = in_flight_[(n_started_ - 1) % kInFlightMax];
  return last.n_on_device >= last.n_on_host;
}

// Begins at another request each step. The proposer's work in a step is bounded, and might not reach all.
void EngineLoop::propose() {
  proposer_->begin_step();
  int room = scheduler_.draft_room();
  for (size_t i = 0; i < requests_.size() && room > 0; ++i) {
    RunningRequest& request = *requests_[(n_started_ + i) % requests_.size()];
    if (!request.decodes()) continue;
    const int max = std::min({options_.speculation.n_draft_max, room, request.token_len_max - 1 - request.token_len()});
    if (max < 1) continue;
    const auto drafts = proposer_->propose(request, max);
    request.drafts.assign(drafts.begin(), drafts.end());
    room -= static_cast<int>(drafts.size());
  }
}

absl::Status EngineLoop::start(const StepPlan& plan) {
  const int n_new = note_started(plan);
  model::Batch batch = builder_.build(plan);
  InFlightStep& flight = in_flight_[n_started_ % kInFlightMax];
  flight.n_new = n_new;
  note_rows(plan, flight);
  CHECK(flight.n_rows == static_cast<int>(batch.logit_rows.size()));
  flight.n_tokens = batch.n_tokens();
  flight.shape = plan.shape();
  if (samples_on_device_) {
    batch.sampling = sampling_;
    batch.host_rows = host_rows_;
  }
  if (n_started_ + 1 == fail_at_) faulty_ = model_.make_fault();
  const double begin = flight.started_at = base::steady_seconds();
  RETURN_IF_ERROR(model_.start(batch));
  if (!samples_on_device_) away_ += base::steady_seconds() - begin;
  ++n_started_;
  scheduler_.commit(plan);
  for (const InFlightStep::Item& item : flight.items) {
    item.request->n_unknown += item.on_device ? 1 : 0;
    ++item.request->n_in_flight;
  }
  return absl::OkStatus();
}

// Assigns the step's logit rows to its sequences. REQUIRES: the step is not committed.
void EngineLoop::note_rows(const StepPlan& plan, InFlightStep& flight) {
  flight.items.clear();
  sampling_.clear();
  host_rows_.clear();
  flight.n_prompt = flight.n_rows = flight.n_host_rows = flight.n_on_device = flight.n_on_host = 0;
  for (const auto& [sequence, n_tokens, n_draft] : plan.items) {
    const int begin = sequence->computed_len, end = begin + n_tokens - n_draft;
    InFlightStep::Item item{.request = static_cast<RunningRequest*>(sequence),
                            .row = flight.n_rows,
                            .host_row = flight.n_host_rows,
                            .n_draft = n_draft};
    item.prompt_from = std::max(begin, sequence->logits_from);
    item.n_prompt_rows = std::max(0, std::min(end, sequence->prompt_len - 1) - item.prompt_from);
    item.samples = end == sequence->length();
    for (int i = 0; i < item.n_prompt_rows; ++i) add_host_row(flight);
    if (item.samples) note_sampling(flight, item);
    flight.n_prompt += std::clamp(sequence->prompt_len - begin, 0, n_tokens);
    flight.items.push_back(item);
  }
}

void EngineLoop::add_host_row(InFlightStep& flight) {
  host_rows_.push_back(flight.n_rows++);
  sampling_.emplace_back();
  ++flight.n_host_rows;
}

void EngineLoop::note_sampling(InFlightStep& flight, InFlightStep::Item& item) {
  const RunningRequest& request = *item.request;
  std::optional<model::SampleParams> params;
  if (samples_on_device_) {
    params = sampler_.for_device(
        {request.sampling, {}, request.prompt(), request.output(), request.mask.get(), request.n_unknown});
  }
  item.on_device = params.has_value();
  ++(item.on_device ? flight.n_on_device : flight.n_on_host);
  if (item.on_device) {
    sampling_.push_back(*params);
    ++flight.n_rows;
    return;
  }
  for (int i = 0; i <= item.n_draft; ++i) add_host_row(flight);
}

absl::Status EngineLoop::finish() {
  const double begin = base::steady_seconds();
  const auto result = model_.finish();
  const double now = base::steady_seconds();
  away_ += now - begin;
  if (!result.ok()) return result.status();
  while (stats_.steps + 1 == stall_at_) std::this_thread::sleep_for(std::chrono::hours(1));
  if (stats_.steps + 1 == fail_at_ && !faulty_) return absl::InternalError("this step was to fail");
  InFlightStep& flight = in_flight_[n_finished_++ % kInFlightMax];
  CHECK(static_cast<int>(result->ids.size()) == (samples_on_device_ ? flight.n_rows : 0));
  CHECK(result->logits.shape[0] == flight.n_host_rows);
  ++stats_.steps;
  // With two steps in flight this one began when the last one ended.
  const double seconds = now - std::max(flight.started_at, finished_at_);
  times_.learn(flight.shape, seconds);
  stats_.prompt_tokens_computed += flight.n_prompt;
  metrics_.step(now, flight.n_tokens, flight.n_prompt);
  for (const InFlightStep::Item& item : flight.items) {
    if (item.request == nullptr) continue;
    --item.request->n_in_flight;
    deliver(item, *result);
  }
  flight.items.clear();
  const double delivered = base::steady_seconds();
  metrics_.step_ended({.n_tokens = flight.n_tokens,
                       .n_prompt = flight.n_prompt,
                       .n_new = flight.n_new,
                       .forward_seconds = seconds,
                       .deliver_seconds = delivered - now});
  finished_at_ = now;
  watch(delivered);
  return absl::OkStatus();
}

// After a failure: the model returns no more results.
void EngineLoop::forget_in_flight() {
  for (InFlightStep& flight : in_flight_) flight.items.clear();
  n_finished_ = n_started_;
}

// How many start.
int EngineLoop::note_started(const StepPlan& plan) {
  const double now = base::steady_seconds();
  int n_new = 0;
  for (const auto& item : plan.items) {
    auto& request = static_cast<RunningRequest&>(*item.sequence);
    if (request.times.started > 0) continue;
    request.times.started = now;
    stats_.prompt_tokens_cached += request.cached_len;
    metrics_.started(request.times, request);
    ++n_new;
  }
  return n_new;
}

void EngineLoop::deliver(const InFlightStep::Item& item, const model::StepResult& result) {
  RunningRequest& request = *item.request;  // stays in memory when it ends
  for (int i = 0; i < item.n_prompt_rows; ++i) {
    if (!report_prompt(request, host_row(result, item.host_row + i), item.prompt_from + i)) return;
  }
  if (!item.samples) return;
  if (item.on_device) return take_sampled(request, result.ids[item.row + item.n_prompt_rows]);
  sample_rows(item, result);
}

std::span<const float> EngineLoop::host_row(const model::StepResult& result, int row) const {
  return {result.logits.f32() + int64_t{row} * vocab_, static_cast<size_t>(vocab_)};
}

// False: the logits were NaN or infinite, and the request ended.
bool EngineLoop::report_prompt(RunningRequest& request, std::span<const float> logits, int position) {
  if (!is_sane(logits)) {
    end_corrupted(request);
    return false;
  }
  const auto logprobs = sampler_.logprobs(logits, request.tokens[position + 1], request.sampling.prompt_logprobs);
  request.logits_from = position + 1;
  request.sink.call([&](TokenSink& sink) { sink.on_prompt_logprobs({position + 1, logprobs.token, logprobs.top}); });
  return true;
}

// A token sampled by the device.
void EngineLoop::take_sampled(RunningRequest& request, int32_t id) {
  --request.n_unknown;
  if (id == model::kNotNumbers) return end_corrupted(request);
  CHECK(id >= 0 && id < vocab_);
  metrics_.first_of_step(base::steady_seconds(), request.times);
  append(request, id, {});
  scheduler_.accept(request, 0);
  if (const auto reason = finish_reason(request)) end_at_last_token(request, *reason);
}

// Samples row by row, as plain decoding does. Each row sees the output, mask and seed after the tokens before it. A
// draft is accepted if it equals the sampled token. The first unequal one ends the loop.
void EngineLoop::sample_rows(const InFlightStep::Item& item, const model::StepResult& result) {
  RunningRequest& request = *item.request;
  int n_accepted = 0, n_tokens = 0;
  std::optional<FinishReason> reason;
  for (bool accepted = true; accepted && !reason.has_value();) {
    const auto logits = host_row(result, item.host_row + item.n_prompt_rows + n_tokens);
    const auto id = sampler_.sample({request.sampling, logits, request.prompt(), request.output(), request.mask.get()});
    if (absl::IsInternal(id.status())) return end_corrupted(request);
    if (!id.ok()) return end(request, FinishReason::kError, std::string(id.status().message()));
    accepted = n_tokens < item.n_draft && request.drafts[n_tokens] == *id;
    n_accepted += accepted ? 1 : 0;
    if (n_tokens++ == 0) metrics_.first_of_step(base::steady_seconds(), request.times);
    append(request, *id, logits);
    reason = finish_reason(request);
  }
  scheduler_.accept(request, n_accepted);
  request.drafts.clear();
  if (item.n_draft > 0) metrics_.drafts(item.n_draft, n_accepted);
  if (reason.has_value()) end_at_last_token(request, *reason);
}

void EngineLoop::append(RunningRequest& request, int32_t id, std::span<const float> logits) {
  const double now = base::steady_seconds();
  TokenOutput output{.id = id};
  if (request.sampling.logprobs >= 0) {
    const auto logprobs = sampler_.logprobs(logits, id, request.sampling.logprobs, request.sampling.logprob_ids);
    output.sampled = logprobs.token;
    output.top = logprobs.top;
  }
  if (request.mask != nullptr) request.mask->accept(id);
  request.tokens.push_back(id);
  if (request.repetition.has_value()) request.repeats = request.repetition->add(request.output());
  ++stats_.generated_tokens;
  metrics_.token(now);
  if (request.times.first_token == 0) request.times.first_token = now;
  request.times.last_token = now;
  request.sink.call([&](TokenSink& sink) { sink.on_token(output); });
}

// Whether the last token ends the request, and why.
std::optional<FinishReason> EngineLoop::finish_reason(const RunningRequest& request) const {
  const SamplingParams& p = request.sampling;
  const int32_t id = request.tokens.back();
  const bool stops = contains(p.stop_ids, id) || (!p.ignore_eos && contains(p.eos_ids, id));
  const bool may_stop = static_cast<int>(request.output().size()) >= p.min_tokens;
  if (stops && may_stop) return FinishReason::kStop;
  if (request.token_len() == request.token_len_max) return FinishReason::kLength;
  if (request.repeats && may_stop) return FinishReason::kRepetition;
  return std::nullopt;
}

void EngineLoop::end_at_last_token(RunningRequest& request, FinishReason reason) {
  const bool stops = reason == FinishReason::kStop;
  end(request, reason, "", stops ? std::optional<int32_t>(request.tokens.back()) : std::nullopt);
}

void EngineLoop::end_corrupted(RunningRequest& request) {
  metrics_.corrupted();
  end(request, FinishReason::kError, kNotNumbersSentence);
}

void EngineLoop::end(RunningRequest& request, FinishReason reason, const std::string& error,
                     std::optional<int32_t> stop_id) {
  scheduler_.finish(request);
  for (InFlightStep& flight : in_flight_) {
    for (InFlightStep::Item& item : flight.items) {
      if (item.request == &request) item.request = nullptr;
    }
  }
  const Finish finish{.reason = reason,
                      .stop_id = stop_id,
                      .error = error,
                      .prompt_tokens = request.prompt_len,
                      .cached_tokens = std::max(0, request.cached_len),
                      .output_tokens = static_cast<int>(request.output().size()),
                      .times = request.times};
  metrics_.finished(base::steady_seconds(), finish, request, request.sampling.max_tokens);
  on_end_(request);
  request.sink.finish(finish);
  const size_t index = request.index;
  ended_.push_back(std::move(requests_[index]));
  if (index + 1 < requests_.size()) {
    requests_[index] = std::move(requests_.back());
    requests_[index]->index = index;
  }
  requests_.pop_back();
}

EngineStats EngineLoop::stats() const {
  EngineStats stats = stats_;
  stats.running = scheduler_.n_running();
  stats.waiting = scheduler_.n_waiting();
  stats.deferred = scheduler_.n_deferred();
  stats.kv_usage = static_cast<double>(scheduler_.n_blocks_held()) / static_cast<double>(options_.n_blocks);
  stats.preemptions = scheduler_.counts().preemptions;
  return stats;
}

void EngineLoop::watch(double now) {
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

bool EngineLoop::tick() {
  const double now = base::steady_seconds();
  ticked_at_ = now;
  metrics_.tick(now, stats());
  return !metrics_.settled(now);
}

}  // namespace polymath::engine
