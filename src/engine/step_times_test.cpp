#include "engine/step_times.h"

#include <gtest/gtest.h>

#include "engine/mixing.h"

namespace polymath::engine {
namespace {

TEST(TimeCurve, GoesThroughWhatItLearnedAndBetween) {
  TimeCurve curve(TimeCurve::Below::kProportional);
  EXPECT_FALSE(curve.known());
  EXPECT_EQ(curve.at(100), 0);
  EXPECT_EQ(curve.tokens_within(1e-9, 77), 77) << "nothing is known";
  curve.learn(64, 1);
  curve.learn(256, 2);
  EXPECT_DOUBLE_EQ(curve.at(64), 1);
  EXPECT_DOUBLE_EQ(curve.at(160), 1.5);
  EXPECT_DOUBLE_EQ(curve.at(256), 2);
  EXPECT_DOUBLE_EQ(curve.at(512), 4) << "beyond the last point in proportion";
  EXPECT_DOUBLE_EQ(curve.at(32), 0.5);
  EXPECT_EQ(curve.tokens_within(1.5, 10'000), 160);
  EXPECT_EQ(curve.tokens_within(1.5, 100), 100);
  EXPECT_EQ(curve.tokens_within(0, 100), 0);
}

TEST(TimeCurve, OfDecodesIsFlatBelowItsFirstPoint) {
  TimeCurve curve(TimeCurve::Below::kConstant);
  curve.learn(8, 1);
  EXPECT_DOUBLE_EQ(curve.at(1), 1);
  EXPECT_DOUBLE_EQ(curve.at(16), 2);
}

TEST(TimeCurve, FollowsSlowlyAndForgetsAPause) {
  TimeCurve curve(TimeCurve::Below::kConstant);
  curve.learn(8, 1);
  curve.learn(8, 1000);
  EXPECT_LT(curve.at(8), 1.5);
  for (int i = 0; i < 100; ++i) curve.learn(8, 2);
  EXPECT_NEAR(curve.at(8), 2, 0.01);
}

// A device that takes 10 ms for the weights, 0.1 ms a decode and 20 us a prompt token.
double device_seconds(const StepShape& step) {
  const double weights = step.n_decodes > 0 ? 0.01 : 0;
  return weights + 1e-4 * step.n_decodes + 2e-5 * step.n_prompt;
}

TEST(StepTimes, TellsDecodesAndPromptsApart) {
  StepTimes times;
  for (int i = 0; i < 200; ++i) {
    for (const StepShape& step : {StepShape{64, 0}, StepShape{64, 512}, StepShape{64, 2048}, StepShape{0, 2048}}) {
      times.learn(step, device_seconds(step));
    }
  }
  EXPECT_NEAR(times.decodes().at(64), 0.0164, 1e-4);
  EXPECT_NEAR(times.prompts().at(2048), 0.041, 1e-3);
  EXPECT_NEAR(times.seconds({64, 1024}), device_seconds({64, 1024}), 1e-3);
}

TEST(StepTimes, LearnsFromMixedStepsAlone) {
  StepTimes times;
  times.learn({.n_prompt = 2048}, device_seconds({.n_prompt = 2048}));
  for (int i = 0; i < 100; ++i) times.learn({32, 1024}, device_seconds({32, 1024}));
  EXPECT_NEAR(times.seconds({32, 1024}), device_seconds({32, 1024}), 1e-3);
}

TEST(Mixing, FillsTheTargetAndKeepsAShareForPrompts) {
  StepTimes times;
  times.learn({64, 0}, 0.016);
  times.learn({0, 2048}, 0.041);
  const MixingOptions by_target{.prompt_tokens_max = -1, .target_itl_s = 0.036};
  EXPECT_NEAR(mixed_prompt_tokens(by_target, times, {64}, 8192), 1000, 2) << "20 ms at 20 us";
  EXPECT_EQ(mixed_prompt_tokens(by_target, times, {64}, 300), 300);
  const MixingOptions tight{.prompt_tokens_max = -1, .target_itl_s = 0.001};
  EXPECT_NEAR(mixed_prompt_tokens(tight, times, {64}, 8192), 200, 2) << "a quarter of the decodes' time";
  EXPECT_EQ(mixed_prompt_tokens({.prompt_tokens_max = 7}, times, {64}, 8192), 7);
  EXPECT_EQ(mixed_prompt_tokens({.prompt_tokens_max = 0}, times, {64}, 8192), 8192);
  EXPECT_EQ(mixed_prompt_tokens({.prompt_tokens_max = -1}, StepTimes(), {64}, 8192), 8192) << "nothing is known yet";
}

TEST(Mixing, ModesDifferInTheirTargets) {
  StepTimes times;
  times.learn({64, 0}, 0.020);
  times.learn({0, 2048}, 0.041);
  const auto target = [&](const char* mode) {
    return target_itl({.prompt_tokens_max = -1, .mode = find_performance_mode(mode)}, times, {64});
  };
  EXPECT_DOUBLE_EQ(target("balanced"), 0.080);
  EXPECT_DOUBLE_EQ(target("interactivity"), 0.030);
  EXPECT_DOUBLE_EQ(target("latency"), target("interactivity"));
  EXPECT_EQ(target("throughput"), 0);
  EXPECT_DOUBLE_EQ(target_itl({.prompt_tokens_max = -1}, times, {64}), target("balanced")) << "the default";
  EXPECT_EQ(
      mixed_prompt_tokens({.prompt_tokens_max = -1, .mode = find_performance_mode("throughput")}, times, {64}, 99), 99);
  EXPECT_FALSE(check_performance_mode("fast").ok());
}

TEST(Mixing, ALongQueueRaisesADerivedTarget) {
  StepTimes times;
  times.learn({64, 0}, 0.020);
  times.learn({0, 2048}, 0.041);
  const auto target = [&](MixingOptions options, int64_t waiting_tokens) {
    return target_itl(options, times, {64, waiting_tokens});
  };
  EXPECT_DOUBLE_EQ(target({}, 2048), 0.080) << "41 ms";
  EXPECT_NEAR(target({}, 50'000), 0.160, 0.001) << "a second";
  EXPECT_DOUBLE_EQ(target({}, 1'000'000), 0.240);
  EXPECT_DOUBLE_EQ(target({.target_itl_s = 0.05}, 1'000'000), 0.05) << "as the operator says";
  EXPECT_DOUBLE_EQ(target({.mode = find_performance_mode("latency")}, 1'000'000), 0.030);
}

}  // namespace
}  // namespace polymath::engine
