#include "engine/metrics/expert_metrics.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "base/check.h"

namespace polymath::engine {
namespace {

constexpr double kMicroseconds = 1e6;  // in a second

base::Labels with(base::Labels labels, std::string name, std::string value) {
  labels.emplace_back(std::move(name), std::move(value));
  return labels;
}

// The pairs of the busiest rank. An expert's copies share its pairs evenly.
struct RankPairs {
  double busiest = 0, n_ranks = 1;
};

RankPairs rank_pairs(const model::Model::ExpertLoad& load, const std::vector<double>& of_expert) {
  const bool moves = !load.placement.empty();
  const size_t n_slots = moves ? load.placement.size() : of_expert.size();
  const size_t of_rank = load.experts_per_rank > 0 ? static_cast<size_t>(load.experts_per_rank) : n_slots;
  const auto expert = [&](size_t slot) { return moves ? static_cast<size_t>(load.placement[slot]) : slot; };
  std::vector<double> copies(of_expert.size());
  for (size_t slot = 0; slot < n_slots; ++slot) ++copies[expert(slot)];
  RankPairs out{.n_ranks = std::ceil(static_cast<double>(n_slots) / static_cast<double>(of_rank))};
  double rank = 0;
  for (size_t slot = 0; slot < n_slots; ++slot) {
    rank = (slot % of_rank == 0 ? 0 : rank) + of_expert[expert(slot)] / copies[expert(slot)];
    out.busiest = std::max(out.busiest, rank);
  }
  return out;
}

}  // namespace

ExpertMetrics::ExpertMetrics(const model::Model& model, const base::Labels& labels, bool per_expert,
                             base::MetricsRegistry& registry) {
  const auto loads = model.expert_load();
  for (const Load& load : loads) make_layer(load, labels, per_expert, registry);
  if (loads.empty()) return;
  touched_ =
      &registry.gauge("polymath:experts_touched",
                      "Distinct experts of a layer that a step's tokens visit, mean over layers, lately.", labels);
  if (loads.front().top_shares.has_value()) {
    confidence_ =
        &registry.gauge("polymath:router_confidence",
                        "A token's largest routing weight over the sum of its weights, mean, lately.", labels);
  }
  dropped_ = &registry.counter("polymath:expert_dropped_tokens_total",
                               "Choices of an expert that were dropped, because the expert was full.", labels);
  const auto lost = [&](const char* over) {
    return &registry.counter("polymath:estimated_imbalance_microseconds_total",
                             "Estimate: microseconds that an even load of the experts, or ranks, would have saved.",
                             with(labels, "over", over));
  };
  lost_over_experts_ = lost("experts");
  lost_over_ranks_ = lost("ranks");
}

void ExpertMetrics::make_layer(const Load& load, const base::Labels& labels, bool per_expert,
                               base::MetricsRegistry& registry) {
  const base::Labels of_layer = with(labels, "layer", absl::StrCat(load.layer));
  const auto gauge = [&](const char* name, const char* help) { return &registry.gauge(name, help, of_layer); };
  Layer layer;
  layer.number = load.layer;
  layer.imbalance =
      gauge("polymath:expert_imbalance", "Tokens of the busiest expert over the mean, lately; 1 is even.");
  layer.entropy = gauge("polymath:expert_entropy",
                        "Entropy of the experts' shares over that of an even spread, lately; 1 is even.");
  layer.used = gauge("polymath:experts_used", "Share of the experts that took a token lately.");
  layer.n_experts = load.pairs.size();
  layer.experts = std::make_unique<Expert[]>(layer.n_experts);
  for (size_t e = 0; per_expert && e < layer.n_experts; ++e) {
    layer.experts[e].counter = &registry.counter("polymath:expert_tokens_total", "Tokens that went to an expert.",
                                                 with(of_layer, "expert", absl::StrCat(e)));
  }
  layers_.push_back(std::move(layer));
}

void ExpertMetrics::update(const model::Model& model, double step_seconds) {
  if (layers_.empty()) return;
  const auto loads = model.expert_load();
  if (loads.empty()) return;  // the model failed
  CHECK(loads.size() == layers_.size());
  const double of_a_layer = (step_seconds - step_seconds_) / static_cast<double>(layers_.size());
  step_seconds_ = step_seconds;
  Totals totals;
  for (size_t l = 0; l < loads.size(); ++l) {
    const Load& load = loads[l];
    Layer& layer = layers_[l];
    const Savings savings = update(layer, load);
    const double seconds = load.seconds.has_value() ? *load.seconds - layer.seconds : of_a_layer;
    layer.seconds = load.seconds.value_or(0);
    lost_over_experts_->add(kMicroseconds * savings.over_experts * seconds);
    lost_over_ranks_->add(kMicroseconds * savings.over_ranks * seconds);
    for (const int64_t steps : load.steps) totals.touched += static_cast<double>(steps);
    totals.layer_steps += static_cast<double>(load.n_steps);
    totals.top_shares += load.top_shares.value_or(0);
    totals.tokens += static_cast<double>(load.n_tokens);
    totals.dropped += static_cast<double>(load.n_dropped);
  }
  update(totals);
}

void ExpertMetrics::update(const Totals& totals) {
  const double steps = totals.layer_steps - seen_.layer_steps, tokens = totals.tokens - seen_.tokens;
  if (steps > 0) touched_->set((totals.touched - seen_.touched) / steps);
  if (confidence_ != nullptr && tokens > 0) confidence_->set((totals.top_shares - seen_.top_shares) / tokens);
  dropped_->add(totals.dropped - seen_.dropped);
  seen_ = totals;
}

// The entropy of shares n_e / n is log n - sum(n_e log n_e) / n.
ExpertMetrics::Savings ExpertMetrics::update(Layer& layer, const Load& load) {
  CHECK(load.pairs.size() == layer.n_experts);
  std::vector<double> of_expert(layer.n_experts);
  double sum = 0, busiest = 0, weighted_logs = 0;
  int used = 0;
  for (size_t e = 0; e < layer.n_experts; ++e) {
    Expert& expert = layer.experts[e];
    const auto lately = static_cast<double>(load.pairs[e] - expert.tokens.load(std::memory_order_relaxed));
    expert.tokens.store(load.pairs[e], std::memory_order_relaxed);
    of_expert[e] = lately;
    if (lately <= 0) continue;
    if (expert.counter != nullptr) expert.counter->add(lately);
    sum += lately;
    busiest = std::max(busiest, lately);
    weighted_logs += lately * std::log(lately);
    ++used;
  }
  if (sum == 0) return {};
  const auto n = static_cast<double>(layer.n_experts);
  layer.imbalance->set(busiest * n / sum);
  layer.entropy->set(n > 1 ? std::max(0.0, std::log(sum) - weighted_logs / sum) / std::log(n) : 1);
  layer.used->set(used / n);
  const RankPairs ranks = rank_pairs(load, of_expert);
  return {1 - sum / n / busiest, 1 - sum / ranks.n_ranks / ranks.busiest};
}

std::vector<ExpertTokens> ExpertMetrics::tokens() const {
  std::vector<ExpertTokens> out;
  for (const Layer& layer : layers_) {
    ExpertTokens of_layer{layer.number, std::vector<int64_t>(layer.n_experts)};
    for (size_t e = 0; e < layer.n_experts; ++e) {
      of_layer.tokens[e] = layer.experts[e].tokens.load(std::memory_order_relaxed);
    }
    out.push_back(std::move(of_layer));
  }
  return out;
}

}  // namespace polymath::engine
