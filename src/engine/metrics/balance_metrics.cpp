#include "engine/metrics/balance_metrics.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "base/check.h"

namespace polymath::engine {
namespace {

base::Labels with(base::Labels labels, std::string name, std::string value) {
  labels.emplace_back(std::move(name), std::move(value));
  return labels;
}

}  // namespace

BalanceMetrics::BalanceMetrics(const model::Model& model, const base::Labels& labels, base::MetricsRegistry& registry) {
  const model::BalanceReport* report = model.balance_report();
  if (report == nullptr) return;
  for (const auto& layer : report->layers) {
    const base::Labels of_layer = with(labels, "layer", absl::StrCat(layer.layer));
    const auto moved = [&](const char* when) {
      return &registry.gauge(
          "polymath:eplb_moved_imbalance",
          "Imbalance of the ranks when a layer's experts moved last: before, as predicted, and after "
          "a window of steps. 0: none moved, or not measured yet.",
          with(of_layer, "when", when));
    };
    layers_.push_back({&registry.gauge("polymath:expert_rank_imbalance",
                                       "Tokens of the busiest rank's experts over the mean of the ranks, of the latest "
                                       "window; 1 is even.",
                                       of_layer),
                       moved("before"), moved("predicted"), moved("after")});
  }
  const auto counter = [&](const char* name, const char* help) { return Total{&registry.counter(name, help, labels)}; };
  decisions_ = counter("polymath:eplb_decisions_total", "Windows of loads that expert balancing looked at.");
  switches_ = counter("polymath:eplb_switched_layers_total", "Layers whose experts got a new placement.");
  moves_ = counter("polymath:eplb_moved_experts_total", "Experts that were copied from another rank.");
  bytes_ = counter("polymath:eplb_moved_bytes_total", "Bytes of the experts that were copied from another rank.");
  predicted_gain_ = &registry.gauge("polymath:eplb_predicted_gain",
                                    "Share of the busiest ranks' tokens that the last moves were to save.", labels);
  measured_gain_ = &registry.gauge("polymath:eplb_measured_gain",
                                   "The share that they saved, measured over a window of steps.", labels);
}

void BalanceMetrics::update(const model::Model& model) {
  const model::BalanceReport* report = model.balance_report();
  if (report == nullptr) return;
  CHECK(report->layers.size() == layers_.size());
  for (size_t l = 0; l < layers_.size(); ++l) {
    const auto& layer = report->layers[l];
    layers_[l].now->set(layer.now);
    layers_[l].before->set(layer.before);
    layers_[l].predicted->set(layer.predicted);
    layers_[l].after->set(layer.after);
  }
  decisions_.set(report->n_decisions);
  switches_.set(report->n_switches);
  moves_.set(report->n_moves);
  bytes_.set(report->n_bytes);
  predicted_gain_->set(report->predicted_gain);
  measured_gain_->set(report->measured_gain);
}

}  // namespace polymath::engine
