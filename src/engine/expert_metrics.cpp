#include "engine/expert_metrics.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "base/check.h"

namespace polymath::engine {
namespace {

base::Labels with(base::Labels labels, std::string name, int value) {
  labels.emplace_back(std::move(name), absl::StrCat(value));
  return labels;
}

}  // namespace

ExpertMetrics::ExpertMetrics(const model::Model& model, const base::Labels& labels, bool per_expert,
                             base::MetricsRegistry& registry) {
  for (const auto& load : model.expert_load()) {
    const base::Labels of_layer = with(labels, "layer", load.layer);
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
                                                   with(of_layer, "expert", static_cast<int>(e)));
    }
    layers_.push_back(std::move(layer));
  }
}

void ExpertMetrics::update(const model::Model& model) {
  if (layers_.empty()) return;
  const auto loads = model.expert_load();
  CHECK(loads.size() == layers_.size());
  for (size_t l = 0; l < loads.size(); ++l) update(layers_[l], loads[l].pairs);
}

// The entropy of shares n_e / n is log n - sum(n_e log n_e) / n.
void ExpertMetrics::update(Layer& layer, std::span<const int64_t> tokens) {
  CHECK(tokens.size() == layer.n_experts);
  double sum = 0, busiest = 0, weighted_logs = 0;
  int used = 0;
  for (size_t e = 0; e < layer.n_experts; ++e) {
    Expert& expert = layer.experts[e];
    const auto lately = static_cast<double>(tokens[e] - expert.tokens.load(std::memory_order_relaxed));
    expert.tokens.store(tokens[e], std::memory_order_relaxed);
    if (lately <= 0) continue;
    if (expert.counter != nullptr) expert.counter->add(lately);
    sum += lately;
    busiest = std::max(busiest, lately);
    weighted_logs += lately * std::log(lately);
    ++used;
  }
  if (sum == 0) return;
  const auto n = static_cast<double>(layer.n_experts);
  layer.imbalance->set(busiest * n / sum);
  layer.entropy->set(n > 1 ? std::max(0.0, std::log(sum) - weighted_logs / sum) / std::log(n) : 1);
  layer.used->set(used / n);
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
