#include "api/openai/beam_search.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "api/openai/answer.h"
#include "api/status.h"
#include "base/log.h"

namespace polymath::api {

class BeamSearch::Sink : public engine::TokenSink {
 public:
  Sink(std::shared_ptr<BeamSearch> owner, size_t search, size_t beam) : owner_(std::move(owner)) {
    event_.search = search;
    event_.beam = beam;
  }
  void on_token(const engine::TokenOutput& token) override {
    event_.token = {token.id, token.sampled, {token.top.begin(), token.top.end()}};
  }
  void on_prompt_logprobs(const engine::PromptLogprobs& p) override {
    event_.prompt_tokens.push_back({p.token.id, p.token, {p.top.begin(), p.top.end()}});
  }
  void on_finish(const engine::Finish& finish) override {
    event_.finish = finish;
    owner_->push(std::move(event_));
    owner_.reset();
  }

 private:
  std::shared_ptr<BeamSearch> owner_;
  Event event_;
};

BeamSearch::BeamSearch(const Generation::Context& context, GenerationPlan plan, const BeamRules& rules,
                       std::unique_ptr<AnswerWriter> writer)
    : context_(context),
      plan_(std::move(plan)),
      rules_(rules),
      n_best_(std::min(context.model.vocab, std::max(2 * plan_.n, plan_.sampling.logprobs))),
      writer_(std::move(writer)),
      searches_(plan_.prompts.size()),
      ids_(plan_.prompts.size()) {
  for (size_t i = 0; i < searches_.size(); ++i) {
    searches_[i].live.resize(1);
    usage_.prompt_tokens += static_cast<int>(plan_.prompts[i].size());
  }
}

absl::StatusOr<std::shared_ptr<BeamSearch>> BeamSearch::start(const Generation::Context& context, GenerationPlan plan,
                                                              const BeamRules& rules,
                                                              std::unique_ptr<AnswerWriter> writer) {
  std::shared_ptr<BeamSearch> search(new BeamSearch(context, std::move(plan), rules, std::move(writer)));
  std::vector<size_t> all(search->searches_.size());
  std::iota(all.begin(), all.end(), 0);
  RETURN_IF_ERROR(search->submit_step(all, search->plan_.place.get()));
  {
    const std::lock_guard lock(search->mutex_);
    search->armed_ = true;
  }
  context.pool.schedule(search);
  return search;
}

engine::Request BeamSearch::make_request(size_t search, size_t beam) {
  engine::Request request;
  request.prompt = plan_.prompts[search];
  const std::vector<TokenInfo>& tokens = searches_[search].live[beam].tokens;
  for (const TokenInfo& token : tokens) request.prompt.push_back(token.id);
  request.sampling.temperature = 0;
  request.sampling.max_tokens = 1;
  request.sampling.ignore_eos = true;
  request.sampling.logprobs = n_best_;
  if (tokens.empty()) request.sampling.prompt_logprobs = plan_.sampling.prompt_logprobs;
  request.cache_salt = plan_.cache_salt;
  request.priority = plan_.priority;
  request.adapter = plan_.adapter;
  request.group = reinterpret_cast<uintptr_t>(this);
  request.sink = std::make_shared<Sink>(shared_from_this(), search, beam);
  return request;
}

absl::Status BeamSearch::submit_step(const std::vector<size_t>& searches, engine::Place* place) {
  std::vector<engine::Request> requests;
  for (const size_t i : searches) {
    Search& search = searches_[i];
    search.n_waiting = search.live.size();
    search.next.assign(search.live.size(), {});
    for (size_t beam = 0; beam < search.live.size(); ++beam) requests.push_back(make_request(i, beam));
  }
  ASSIGN_OR_RETURN(std::vector<engine::RequestId> ids, context_.engine.submit(std::move(requests), place));
  const std::lock_guard lock(mutex_);
  auto next = ids.begin();
  for (const size_t i : searches) {
    const auto n = static_cast<std::ptrdiff_t>(searches_[i].live.size());
    ids_[i].assign(next, next + n);
    next += n;
  }
  if (cancelled_) {
    for (const engine::RequestId id : ids) context_.engine.cancel(id);
  }
  return absl::OkStatus();
}

void BeamSearch::cancel() {
  const std::lock_guard lock(mutex_);
  cancelled_ = true;
  for (const auto& ids : ids_) {
    for (const engine::RequestId id : ids) context_.engine.cancel(id);
  }
}

void BeamSearch::push(Event event) {
  {
    const std::lock_guard lock(mutex_);
    events_.push_back(std::move(event));
  }
  context_.pool.schedule(shared_from_this());
}

void BeamSearch::run() {
  std::vector<Event> events;
  {
    const std::lock_guard lock(mutex_);
    if (!armed_) return;
    events.swap(events_);
  }
  for (Event& event : events) {
    if (!failed_) handle(event);
  }
}

void BeamSearch::handle(Event& event) {
  if (event.finish.reason == engine::FinishReason::kError) {
    base::log_error("api", "a beam search failed: ", event.finish.error);
    return fail(absl::InternalError(event.finish.error));
  }
  if (event.finish.reason == engine::FinishReason::kCancelled) return fail(absl::UnavailableError(kShuttingDown));
  Search& search = searches_[event.search];
  if (search.live[event.beam].tokens.empty()) {
    usage_.cached_tokens += event.finish.cached_tokens;
    const int first = static_cast<int>(event.search) * rules_.n;
    for (size_t i = 0; i < event.prompt_tokens.size(); ++i) {
      writer_->on_prompt_token(first, static_cast<int>(i) + 1, event.prompt_tokens[i]);
    }
  }
  search.times = join(search.times, event.finish.times);
  search.next[event.beam] = std::move(event.token);
  if (--search.n_waiting == 0) advance(event.search);
}

bool BeamSearch::stops_at(int32_t id) const {
  const engine::SamplingParams& s = plan_.sampling;
  const auto has = [&](const std::vector<int32_t>& ids) { return std::find(ids.begin(), ids.end(), id) != ids.end(); };
  return has(s.stop_ids) || (!s.ignore_eos && has(s.eos_ids));
}

double BeamSearch::score(size_t search, size_t n_tokens, double logprob) const {
  const auto length = static_cast<double>(plan_.prompts[search].size() + n_tokens);
  return logprob / std::pow(length, rules_.length_penalty);
}

// The best first.
std::vector<BeamSearch::Candidate> BeamSearch::candidates_of(size_t index) const {
  const Search& search = searches_[index];
  std::vector<Candidate> out;
  for (size_t parent = 0; parent < search.live.size(); ++parent) {
    const Beam& beam = search.live[parent];
    const std::vector<engine::TokenLogprob>& top = search.next[parent].top;
    for (size_t i = 0; i < std::min<size_t>(top.size(), 2 * static_cast<size_t>(plan_.n)); ++i) {
      Candidate candidate{parent, top[i], beam.logprob + top[i].logprob};
      candidate.stops = stops_at(top[i].id);
      candidate.score = score(index, beam.tokens.size() + (candidate.stops ? 0 : 1), candidate.logprob);
      out.push_back(candidate);
    }
  }
  std::stable_sort(out.begin(), out.end(), [](const Candidate& a, const Candidate& b) { return a.score > b.score; });
  return out;
}

BeamSearch::Beam BeamSearch::extended(const Search& search, const Candidate& candidate) const {
  Beam beam = search.live[candidate.parent];
  TokenInfo token{candidate.token.id, candidate.token, {}};
  const std::vector<engine::TokenLogprob>& top = search.next[candidate.parent].top;
  const size_t n_shown = static_cast<size_t>(std::max(0, plan_.sampling.logprobs));
  token.top.assign(top.begin(), top.begin() + static_cast<std::ptrdiff_t>(std::min(n_shown, top.size())));
  beam.tokens.push_back(std::move(token));
  beam.logprob = candidate.logprob;
  beam.score = candidate.score;
  beam.stopped = candidate.stops;
  return beam;
}

void BeamSearch::advance(size_t index) {
  Search& search = searches_[index];
  const auto width = static_cast<size_t>(plan_.n);
  std::vector<Beam> live;
  for (const Candidate& candidate : candidates_of(index)) {
    if (candidate.stops) {
      search.ended.push_back(extended(search, candidate));
    } else if (live.size() < width) {
      live.push_back(extended(search, candidate));
    }
  }
  search.live = std::move(live);
  const bool is_full = rules_.early_stopping && search.ended.size() >= width;
  const bool at_end =
      search.live.empty() || search.live.front().tokens.size() >= static_cast<size_t>(plan_.max_tokens[index]);
  if (at_end) std::move(search.live.begin(), search.live.end(), std::back_inserter(search.ended));
  std::stable_sort(search.ended.begin(), search.ended.end(),
                   [](const Beam& a, const Beam& b) { return a.score > b.score; });
  if (search.ended.size() > width) search.ended.resize(width);
  search.done = at_end || is_full;
  if (!search.done) {
    const absl::Status status = submit_step({index}, nullptr);
    if (!status.ok()) fail(status);
  } else if (std::all_of(searches_.begin(), searches_.end(), [](const Search& s) { return s.done; })) {
    deliver();
  }
}

std::string BeamSearch::text_of(size_t search, const Beam& beam) const {
  if (context_.model.tokenizer == nullptr) return "";
  text::Detokenizer detokenizer(*context_.model.tokenizer, plan_.prompts[search], {.skip_special = plan_.skip_special});
  const size_t n = beam.tokens.size() - (beam.stopped && !plan_.include_stop ? 1 : 0);
  std::string text;
  for (size_t i = 0; i < n; ++i) text += detokenizer.push(beam.tokens[i].id);
  return text + detokenizer.finish();
}

void BeamSearch::deliver_beam(int choice, size_t search, const Beam& beam) {
  usage_.completion_tokens += static_cast<int>(beam.tokens.size());
  writer_->on_delta({.choice = choice, .text = text_of(search, beam), .tokens = beam.tokens}, usage_);
  const auto reason = beam.stopped ? engine::FinishReason::kStop : engine::FinishReason::kLength;
  ChoiceEnd end{.choice = choice, .reason = engine::finish_reason_name(reason), .times = searches_[search].times};
  const auto& ids = plan_.sampling.stop_ids;
  const int32_t last = beam.tokens.back().id;
  if (beam.stopped && std::find(ids.begin(), ids.end(), last) != ids.end()) end.stop_id = last;
  writer_->on_end(end, usage_);
}

void BeamSearch::deliver() {
  for (size_t search = 0; search < searches_.size(); ++search) {
    const std::vector<Beam>& ended = searches_[search].ended;
    for (int i = 0; i < rules_.n; ++i) {
      // A vocabulary of fewer ids than beams repeats its last one.
      const size_t at = std::min(static_cast<size_t>(i), ended.size() - 1);
      deliver_beam(static_cast<int>(search) * rules_.n + i, search, ended[at]);
    }
  }
  writer_->on_done(usage_);
}

void BeamSearch::fail(const absl::Status& error) {
  failed_ = true;
  cancel();
  writer_->on_error(error);
}

}  // namespace polymath::api
