#include "engine/metrics/expert_metrics.h"

#include <gtest/gtest.h>

#include <cmath>
#include <string>

namespace polymath::engine {
namespace {

// One layer of four experts, two of them on each rank.
class RoutedModel : public model::Model {
 public:
  absl::Status start(const model::Batch&) override { return absl::OkStatus(); }
  absl::StatusOr<model::StepResult> finish() override { return model::StepResult{}; }
  int vocab() const override { return 1; }
  std::vector<ExpertLoad> expert_load() const override {
    if (failed) return {};
    ExpertLoad load{.layer = 3, .pairs = pairs, .steps = steps, .n_steps = n_steps, .experts_per_rank = 2};
    load.placement = placement;
    load.seconds = seconds;
    load.top_shares = top_shares;
    load.n_tokens = n_tokens;
    load.n_dropped = n_dropped;
    return {load};
  }
  std::vector<int64_t> pairs = {0, 0, 0, 0}, steps = {0, 0, 0, 0};
  std::vector<int32_t> placement;
  bool failed = false;
  int64_t n_steps = 0, n_tokens = 0, n_dropped = 0;
  std::optional<double> seconds, top_shares;
};

double value_of(base::MetricsRegistry& registry, const std::string& line) {
  const std::string page = registry.render();
  const size_t at = page.find("\n" + line + " ");
  EXPECT_NE(at, std::string::npos) << line;
  return at == std::string::npos ? NAN : std::stod(page.substr(at + line.size() + 2));
}

TEST(ExpertMetrics, FollowTheirFormulas) {
  RoutedModel model;
  model.seconds = model.top_shares = 0;
  base::MetricsRegistry registry;
  ExpertMetrics metrics(model, {}, false, registry);
  model.pairs = {6, 2, 4, 0};
  model.steps = {4, 2, 3, 0};
  model.n_steps = 4;
  model.seconds = 2;
  model.top_shares = 4.5;
  model.n_tokens = 6;
  model.n_dropped = 5;
  metrics.update(model, 100);
  EXPECT_EQ(value_of(registry, R"(polymath:expert_imbalance{layer="3"})"), 2);
  EXPECT_EQ(value_of(registry, R"(polymath:experts_used{layer="3"})"), 0.75);
  EXPECT_EQ(value_of(registry, "polymath:experts_touched"), 9.0 / 4);
  EXPECT_EQ(value_of(registry, "polymath:router_confidence"), 0.75);
  EXPECT_EQ(value_of(registry, "polymath:expert_dropped_tokens_total"), 5);
  // mean / max is 3 / 6 over experts, 6 / 8 over ranks.
  EXPECT_NEAR(value_of(registry, R"(polymath:estimated_imbalance_microseconds_total{over="experts"})"), 1e6, 1e-6);
  EXPECT_NEAR(value_of(registry, R"(polymath:estimated_imbalance_microseconds_total{over="ranks"})"), 5e5, 1e-6);
  model.pairs = {7, 3, 5, 1};  // even since then
  model.steps = {5, 3, 4, 1};
  model.n_steps = 5;
  model.seconds = 3;
  metrics.update(model, 200);
  EXPECT_EQ(value_of(registry, R"(polymath:expert_imbalance{layer="3"})"), 1);
  EXPECT_EQ(value_of(registry, "polymath:experts_touched"), 4);
  EXPECT_EQ(value_of(registry, "polymath:router_confidence"), 0.75) << "no new token: as before";
  EXPECT_NEAR(value_of(registry, R"(polymath:estimated_imbalance_microseconds_total{over="experts"})"), 1e6, 1e-6);
}

TEST(ExpertMetrics, ADeviceHasTheTimeOfTheSteps) {
  RoutedModel model;
  base::MetricsRegistry registry;
  ExpertMetrics metrics(model, {}, true, registry);
  model.pairs = {8, 0, 0, 0};
  metrics.update(model, 0.5);
  EXPECT_NEAR(value_of(registry, R"(polymath:estimated_imbalance_microseconds_total{over="experts"})"), 375000, 1e-6);
  EXPECT_EQ(registry.render().find("router_confidence"), std::string::npos) << "its weights are not read back";
  EXPECT_EQ(value_of(registry, R"(polymath:expert_tokens_total{layer="3",expert="0"})"), 8);
}

TEST(ExpertMetrics, StayAfterAFailure) {
  RoutedModel model;
  base::MetricsRegistry registry;
  ExpertMetrics metrics(model, {}, false, registry);
  model.pairs = {1, 1, 2, 0};
  metrics.update(model, 1);
  model.failed = true;
  metrics.update(model, 2);
  EXPECT_EQ(value_of(registry, R"(polymath:expert_imbalance{layer="3"})"), 2);
}

// Expert 0 has a copy on each rank, so the ranks' loads are 3 + 4 and 3 + 2.
TEST(ExpertMetrics, ShareLoadsAmongCopies) {
  RoutedModel model;
  model.seconds = 0;
  model.placement = {0, 2, 1, 0};
  base::MetricsRegistry registry;
  ExpertMetrics metrics(model, {}, false, registry);
  model.pairs = {6, 2, 4, 0};
  model.seconds = 1;
  metrics.update(model, 1);
  EXPECT_NEAR(value_of(registry, R"(polymath:estimated_imbalance_microseconds_total{over="ranks"})"), 1e6 / 7, 1);
}

}  // namespace
}  // namespace polymath::engine
