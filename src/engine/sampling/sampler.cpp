#include "engine/sampling/sampler.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "engine/sampling/params.h"
#include "engine/sampling/rng.h"

namespace polymath::engine {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

bool steps_apply(const Row& row) {
  return std::ranges::any_of(sampling_steps(), [&](const SamplingStep& s) { return !s.cuts && s.applies(row); });
}

}  // namespace

// Eight lanes, so that compilers vectorize the maximum. A second scan finds its id.
int32_t best_id(std::span<const float> logits) {
  constexpr size_t kLanes = 8;
  float lanes[kLanes];
  std::fill(lanes, lanes + kLanes, kNever);
  const size_t whole = logits.size() / kLanes * kLanes;
  for (size_t i = 0; i < whole; i += kLanes) {
    for (size_t lane = 0; lane < kLanes; ++lane) {
      lanes[lane] = logits[i + lane] > lanes[lane] ? logits[i + lane] : lanes[lane];
    }
  }
  float best = *std::max_element(lanes, lanes + kLanes);
  for (size_t i = whole; i < logits.size(); ++i) best = std::max(best, logits[i]);
  const auto at = std::find(logits.begin(), logits.end(), best);
  return at == logits.end() ? 0 : static_cast<int32_t>(at - logits.begin());
}

bool is_sane(std::span<const float> logits) {
  int wrong = 0;
  for (const float logit : logits) wrong += !(logit < kInfinity);
  return wrong == 0;
}

Sampler::Sampler(int vocab) : scratch_(vocab), best_(vocab) { CHECK(vocab >= 1); }

absl::StatusOr<int32_t> Sampler::sample(const SampleInput& input) {
  CHECK(input.logits.size() == scratch_.logits.size());
  if (!is_sane(input.logits)) return absl::InternalError(kNotNumbersSentence);
  Row row{input.params, input.prompt, input.output, input.mask, scratch_.logits, scratch_};
  const bool greedy = is_greedy(input.params);
  if (greedy && !steps_apply(row)) return best_id(input.logits);
  std::copy(input.logits.begin(), input.logits.end(), row.logits.begin());
  for (const SamplingStep& step : sampling_steps()) {
    if (!(greedy && step.cuts) && step.applies(row)) step.apply(row);
  }
  const int32_t best = best_id(row.logits);
  if (row.logits[best] == kNever) {
    return absl::FailedPreconditionError(
        "no token may come next: the grammar, the allowed ids, bad words and min_tokens exclude each other");
  }
  return greedy ? best : draw(row);
}

// Inverse of the cumulative distribution, in order of ids. Finds the stretch, then the id in it. Rounding may carry the
// search past the end: then it takes the last id with a weight.
int32_t Sampler::draw(Row& row) {
  const double sum = weigh_staying(row);
  const double target = uniform(row.params.seed, row.output.size()) * sum;
  const size_t n_stretches = (row.logits.size() + kStretch - 1) / kStretch;
  double below = 0;
  size_t stretch = 0, last_stretch = 0;
  for (; stretch < n_stretches && below + scratch_.stretches[stretch] <= target; ++stretch) {
    below += scratch_.stretches[stretch];
    if (scratch_.stretches[stretch] > 0) last_stretch = stretch;
  }
  if (stretch == n_stretches) stretch = last_stretch;
  const size_t end = std::min((stretch + 1) * kStretch, row.logits.size());
  size_t last = 0;
  for (size_t id = stretch * kStretch; id < end; ++id) {
    if (scratch_.weights[id] <= 0) continue;
    below += scratch_.weights[id];
    last = id;
    if (below > target) break;
  }
  return static_cast<int32_t>(last);
}

std::optional<backend::SampleParams> Sampler::for_device(const SampleInput& input) {
  const SamplingParams& p = input.params;
  if (p.logprobs >= 0) return std::nullopt;
  const Row row{p, input.prompt, input.output, input.mask, scratch_.logits, scratch_, input.n_unknown};
  for (const SamplingStep& step : sampling_steps()) {
    if (!step.on_device && step.applies(row)) return std::nullopt;
  }
  if (is_greedy(p)) return backend::SampleParams{};
  constexpr float kBelowOne = 0x1.fffffep-1f;  // rounding to float may give 1
  const double random = uniform(p.seed, input.output.size() + static_cast<size_t>(input.n_unknown));
  return backend::SampleParams{.temperature = p.temperature,
                               .min_p = p.min_p,
                               .top_k = std::max(0, p.top_k),
                               .top_p = p.top_p,
                               .uniform = std::min(static_cast<float>(random), kBelowOne)};
}

// The best ids, sorted, and their ranks: into scratch_.scored and best_.
int Sampler::find_best(std::span<const float> logits, int n_best) {
  const int n = std::min<int>(n_best, static_cast<int>(logits.size()));
  auto& heap = scratch_.scored;
  for (int32_t id = 0; id < static_cast<int32_t>(logits.size()) && n > 0; ++id) {
    const auto end = heap.begin() + std::min(id, n);
    if (id >= n && logits[id] <= heap.front().score) continue;
    if (id >= n) std::pop_heap(heap.begin(), end, better);
    heap[std::min(id, n - 1)] = {logits[id], id};
    std::push_heap(heap.begin(), heap.begin() + std::min(id + 1, n), better);
  }
  std::sort(heap.begin(), heap.begin() + n, better);
  for (int i = 0; i < n; ++i) best_[i].rank = i + 1;
  return n;
}

// The same for these ids. Each id of the vocabulary is counted at the best wanted one that it beats.
int Sampler::find_wanted(std::span<const float> logits, std::span<const int32_t> wanted) {
  const int n = static_cast<int>(wanted.size());
  const std::span<Scored> scored = std::span(scratch_.scored).first(wanted.size());
  for (int i = 0; i < n; ++i) scored[i] = {logits[wanted[i]], wanted[i]};
  std::sort(scored.begin(), scored.end(), better);
  for (int i = 0; i < n; ++i) best_[i].rank = i == 0 ? 1 : 0;
  for (int32_t id = 0; id < static_cast<int32_t>(logits.size()); ++id) {
    if (logits[id] < scored.back().score) continue;
    const auto beaten = std::upper_bound(scored.begin(), scored.end(), Scored{logits[id], id}, better);
    if (beaten != scored.end()) ++best_[beaten - scored.begin()].rank;
  }
  for (int i = 1; i < n; ++i) best_[i].rank += best_[i - 1].rank;
  return n;
}

Logprobs Sampler::logprobs(std::span<const float> logits, int32_t token, int n_best, std::span<const int32_t> wanted) {
  CHECK(n_best >= 0 && wanted.size() <= best_.size());
  const float best = logits[best_id(logits)];
  const double sum = weigh(logits, best, scratch_);
  const float own = logits[token];
  int rank = 1;
  for (int32_t id = 0; id < token; ++id) rank += logits[id] >= own;
  for (size_t id = token + 1; id < logits.size(); ++id) rank += logits[id] > own;
  const float log_sum = best + static_cast<float>(std::log(sum));
  const int n = wanted.empty() ? find_best(logits, n_best) : find_wanted(logits, wanted);
  for (int i = 0; i < n; ++i) {
    best_[i].id = scratch_.scored[i].id;
    best_[i].logprob = scratch_.scored[i].score - log_sum;
  }
  return {{token, logits[token] - log_sum, rank}, std::span(best_).first(n)};
}

}  // namespace polymath::engine
