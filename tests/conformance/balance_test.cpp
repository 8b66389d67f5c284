// Experts that move between CPU ranks while steps run. Logits stay those of one rank, and skewed loads become even.

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <map>
#include <numeric>
#include <random>
#include <thread>

#include "runner.h"
#include "weights/model_files.h"

namespace polymath::conformance {
namespace {

constexpr double kSecondsMax = 60;

// A checkpoint whose routers prefer experts by a seeded bias: gpt-oss adds one to the logits.
class SkewedRouters : public weights::Checkpoint {
 public:
  SkewedRouters(std::unique_ptr<weights::Checkpoint> inner, uint32_t seed) : inner_(std::move(inner)), seed_(seed) {}

  std::span<const weights::TensorInfo> tensors() const override { return inner_->tensors(); }
  bool has(std::string_view name) const override { return inner_->has(name); }
  absl::StatusOr<weights::RawTensor> read(std::string_view name, const tensor::Shape& expected) override {
    if (!name.ends_with("mlp.router.bias")) return inner_->read(name, expected);
    std::vector<float>& bias = biases_[std::string(name)];  // the same for every rank that reads it
    bias.resize(static_cast<size_t>(expected.elements()));
    std::mt19937 random(std::accumulate(name.begin(), name.end(), seed_));
    for (size_t e = 0; e < bias.size(); ++e) bias[e] = e < 2 ? 4 : 1e-3f * static_cast<float>(random() % 1000);
    return weights::RawTensor{tensor::DType::kF32, expected, reinterpret_cast<const std::byte*>(bias.data()),
                              &quant::kF32};
  }
  void prefetch(std::string_view name) override { inner_->prefetch(name); }
  void release(std::string_view name) override {
    if (!name.ends_with("mlp.router.bias")) inner_->release(name);
  }

 private:
  std::unique_ptr<weights::Checkpoint> inner_;
  const uint32_t seed_;
  std::map<std::string, std::vector<float>> biases_;
};

struct Case {
  const char* model;
  int ranks, n_redundant;
  bool skewed = false;
  tensor::DType dtype = tensor::DType::kF32;
};

absl::StatusOr<std::unique_ptr<Runner>> make_runner(const Case& c, RunnerOptions options) {
  const std::string path = model_directory(c.model);
  ASSIGN_OR_RETURN(const auto files, weights::open_model_files(path));
  ASSIGN_OR_RETURN(model::ModelConfig config, model::read_config(*files));
  ASSIGN_OR_RETURN(auto checkpoint, files->open_checkpoint());
  RETURN_IF_ERROR(model::untie_stored_head(*checkpoint, config));
  if (c.skewed) checkpoint = std::make_unique<SkewedRouters>(std::move(checkpoint), 7);
  return Runner::create(config, *checkpoint, options);
}

// Prompts of random tokens, in steps of two sequences.
class Traffic {
 public:
  explicit Traffic(int vocab) : vocab_(vocab) {}
  // The logits of the next step, of each runner.
  std::pair<std::vector<float>, std::vector<float>> step(Runner& a, Runner& b) {
    Runner::Sequence one, two;
    for (Runner::Sequence* s : {&one, &two}) {
      for (size_t n = 3 + random_() % 12; n > 0; --n) s->tokens.push_back(static_cast<int32_t>(random_() % vocab_));
    }
    Runner::Sequence again_one = one, again_two = two;
    auto of_a = a.step({&one, &two}, 0), of_b = b.step({&again_one, &again_two}, 0);
    EXPECT_TRUE(of_a.ok() && of_b.ok()) << of_a.status() << of_b.status();
    return {*std::move(of_a), *std::move(of_b)};
  }

 private:
  std::mt19937 random_{42};
  const uint32_t vocab_;
};

void expect_close(const std::vector<float>& got, const std::vector<float>& expected, float bound) {
  ASSERT_EQ(got.size(), expected.size());
  float largest = 1, worst = 0;
  for (size_t i = 0; i < got.size(); ++i) {
    largest = std::max(largest, std::abs(expected[i]));
    worst = std::isfinite(got[i]) ? std::max(worst, std::abs(got[i] - expected[i])) : INFINITY;
  }
  EXPECT_LT(worst, bound * largest);
}

class Balance : public testing::TestWithParam<Case> {};

// Windows of 8 steps decide every 16: experts move many times, beside the steps.
TEST_P(Balance, KeepsTheLogitsOfOneRank) {
  const Case& c = GetParam();
  RunnerOptions options{.backend = "cpu", .dtype = c.dtype};
  const auto alone = make_runner(c, options);
  options.ranks = options.threads = c.ranks;
  options.whole_experts = true;
  options.balance = model::BalanceOptions{.n_redundant = c.n_redundant, .window_steps = 8, .interval_steps = 16};
  const auto group = make_runner(c, options);
  ASSERT_TRUE(alone.ok() && group.ok()) << alone.status() << group.status();
  const model::BalanceReport& report = *(*group)->model().balance_report();
  Traffic traffic((*group)->vocab());
  const auto begin = std::chrono::steady_clock::now();
  const auto seconds = [&] { return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count(); };
  int n_steps = 0;
  for (; n_steps < 100 || (report.n_switches < 3 && seconds() < kSecondsMax); ++n_steps) {
    const auto [got, expected] = traffic.step(**group, **alone);
    if (c.dtype == tensor::DType::kF32) expect_close(got, expected, 1e-5f);
  }
  EXPECT_GE(report.n_switches, 3);
  EXPECT_GT(report.n_moves, 0);
  EXPECT_GT(report.n_bytes, 0);
  EXPECT_GE(report.n_decisions, 3);
}

INSTANTIATE_TEST_SUITE_P(All, Balance,
                         testing::Values(Case{"gpt-oss", 2, 2, true}, Case{"gpt-oss", 4, 0, true},
                                         Case{"gpt-oss", 2, 0, true, tensor::DType::kBf16}, Case{"mixtral", 2, 4},
                                         Case{"mixtral", 4, 4}, Case{"deepseek-v3", 2, 4}, Case{"qwen3-moe", 4, 0},
                                         Case{"deepseek-v2", 2, 0}),
                         [](const auto& info) {
                           const Case& c = info.param;
                           std::string name = std::string(c.model) + "_" + std::to_string(c.ranks) + "_" +
                                              std::to_string(c.n_redundant) + std::string(dtype_name(c.dtype));
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

// Two of eight experts get most tokens, and both start on the first of four ranks.
TEST(Balance, EvensSkewedRouters) {
  const Case c{"gpt-oss", 4, 4, true};
  const auto group = make_runner(c, {.backend = "cpu",
                                     .threads = 4,
                                     .ranks = 4,
                                     .whole_experts = true,
                                     .balance = model::BalanceOptions{4, 64, 128}});
  ASSERT_TRUE(group.ok()) << group.status();
  const model::BalanceReport& report = *(*group)->model().balance_report();
  Traffic traffic((*group)->vocab());
  for (int step = 0; step < 20'000 && report.measured_gain == 0; ++step) traffic.step(**group, **group);
  double before = 0, predicted = 0, after = 0;
  for (const auto& layer : report.layers) {
    before += layer.before, predicted += layer.predicted, after += layer.after;
  }
  const auto n = static_cast<double>(report.layers.size());
  EXPECT_GT(before / n, 1.5);
  EXPECT_LT(predicted / n, 1.25);
  EXPECT_LT(after / n, 1.35);
  EXPECT_GT(report.predicted_gain, 0.3);
  EXPECT_GT(report.measured_gain, 0.25);
}

TEST(Balance, RefusesWhatDoesNotDivide) {
  const struct {
    Case c;
    const char* said;
  } cases[] = {
      {{"mixtral", 2, 1}, "does not divide the model's 9 experts, with redundant ones,"},
      {{"mixtral", 2, 10}, "a layer has 8 experts, and each of 2 ranks would have more"},
  };
  for (const auto& [c, said] : cases) {
    const auto group = make_runner(c, {.backend = "cpu",
                                       .ranks = c.ranks,
                                       .whole_experts = true,
                                       .balance = model::BalanceOptions{.n_redundant = c.n_redundant}});
    EXPECT_EQ(group.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_NE(group.status().message().find(said), std::string::npos) << group.status();
  }
}

}  // namespace
}  // namespace polymath::conformance
