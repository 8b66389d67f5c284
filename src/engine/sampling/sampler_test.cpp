#include "engine/sampling/sampler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <random>
#include <set>

#include "engine/sampling/params.h"
#include "engine/sampling/rng.h"

namespace polymath::engine {
namespace {

using ::testing::ElementsAre;

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

class OnlyThese : public TokenMask {
 public:
  explicit OnlyThese(std::vector<int32_t> ids) : ids_(std::move(ids)) {}
  void fill(std::span<uint64_t> allowed) override {
    std::ranges::fill(allowed, 0);
    for (const int32_t id : ids_) allowed[id / 64] |= uint64_t{1} << (id % 64);
  }
  void accept(int32_t) override {}

 private:
  std::vector<int32_t> ids_;
};

struct Fixture {
  std::vector<float> logits;
  SamplingParams params = {};
  std::vector<int32_t> prompt = {}, output = {};
  TokenMask* mask = nullptr;

  absl::StatusOr<int32_t> sample() {
    Sampler sampler(static_cast<int>(logits.size()));
    return sampler.sample({params, logits, prompt, output, mask});
  }
  // The logits after all steps, and the ids that stay.
  std::pair<std::vector<float>, std::vector<int32_t>> steps() {
    Scratch scratch(static_cast<int>(logits.size()));
    scratch.logits = logits;
    Row row{params, prompt, output, mask, scratch.logits, scratch};
    for (const SamplingStep& step : sampling_steps()) {
      if (step.applies(row)) step.apply(row);
    }
    std::vector<int32_t> in;
    for (size_t id = 0; id < logits.size(); ++id) {
      if (row.stays(static_cast<int32_t>(id))) in.push_back(static_cast<int32_t>(id));
    }
    EXPECT_TRUE(std::ranges::all_of(scratch.counts, [](int n) { return n == 0; }));
    EXPECT_TRUE(std::ranges::all_of(scratch.seen, [](int n) { return n == 0; }));
    return {scratch.logits, in};
  }
};

std::vector<float> log_of(std::vector<double> probabilities) {
  std::vector<float> out;
  for (const double p : probabilities) out.push_back(static_cast<float>(std::log(p)));
  return out;
}

TEST(Sampler, GreedyTakesTheBestAndTheLowestIdAmongEquals) {
  Fixture f{.logits = {1, 5, 2, 5, 0, 0, 0, 0, 0, 5, -1}};
  f.params.temperature = 0;
  EXPECT_EQ(*f.sample(), 1);
  f.logits[10] = 6;
  EXPECT_EQ(*f.sample(), 10);
  std::fill(f.logits.begin(), f.logits.end(), kNever);
  f.logits[7] = -3;
  EXPECT_EQ(*f.sample(), 7);
}

TEST(Sampler, NumbersThatAreNoneAreAnError) {
  for (const float wrong : {kNan, std::numeric_limits<float>::infinity()}) {
    for (const float temperature : {0.f, 1.f}) {
      Fixture f{.logits = {1, wrong, 2}};
      f.params.temperature = temperature;
      EXPECT_EQ(f.sample().status().code(), absl::StatusCode::kInternal);
    }
  }
}

TEST(Sampler, StepsComeInTheSaidOrder) {
  std::vector<std::string_view> names;
  for (const auto& step : sampling_steps()) names.push_back(step.name);
  EXPECT_THAT(names, ElementsAre("logit_bias", "allowed_ids", "mask", "bad_ids", "min_tokens", "penalties",
                                 "temperature", "min_p", "top_k", "top_p", "typical_p"));
}

TEST(Sampler, ByDefaultNoStepApplies) {
  Fixture f{.logits = {1, 2, 3}};
  EXPECT_EQ(f.steps().first, f.logits);
  EXPECT_THAT(f.steps().second, ElementsAre(0, 1, 2));
}

TEST(LogitBias, IsAddedAndMovesGreedyToo) {
  Fixture f{.logits = {1, 2, 3}};
  f.params.logit_bias = {{0, 5.f}, {2, -1.f}};
  EXPECT_THAT(f.steps().first, ElementsAre(6, 2, 2));
  f.params.temperature = 0;
  EXPECT_EQ(*f.sample(), 0);
}

TEST(AllowedIds, NothingElseComes) {
  Fixture f{.logits = {1, 2, 3, 4}};
  f.params.allowed_ids = {0, 2, 0};
  EXPECT_THAT(f.steps().second, ElementsAre(0, 2));
}

TEST(Mask, NothingElseComesAndNothingAtAllIsAnError) {
  Fixture f{.logits = std::vector<float>(130, 1)};
  OnlyThese mask({3, 64, 129}), nothing({});
  f.mask = &mask;
  EXPECT_THAT(f.steps().second, ElementsAre(3, 64, 129));
  f.mask = &nothing;
  EXPECT_EQ(f.sample().status().code(), absl::StatusCode::kFailedPrecondition);
  f.params.temperature = 0;
  EXPECT_EQ(f.sample().status().code(), absl::StatusCode::kFailedPrecondition);
}

TEST(MinTokens, WhatEndsDoesNotComeBefore) {
  Fixture f{.logits = {1, 2, 3, 4}};
  f.params.min_tokens = 2;
  f.params.stop_ids = {1};
  f.params.eos_ids = {3};
  EXPECT_THAT(f.steps().second, ElementsAre(0, 2));
  f.params.ignore_eos = true;
  EXPECT_THAT(f.steps().second, ElementsAre(0, 2, 3));
  f.output = {0, 0};
  EXPECT_THAT(f.steps().second, ElementsAre(0, 1, 2, 3));
}

TEST(Penalties, CountAsTheirFormulasSay) {
  Fixture f{.logits = {2, -2, 2, 2, 1}, .prompt = {0, 0, 1}, .output = {2, 2, 1}};
  f.params.repetition_penalty = 2;
  EXPECT_THAT(f.steps().first, ElementsAre(1, -4, 1, 2, 1));
  f.params.repetition_penalty = 1;
  f.params.frequency_penalty = 0.5f;
  EXPECT_THAT(f.steps().first, ElementsAre(2, -2.5f, 1, 2, 1));
  f.params.presence_penalty = 1;
  EXPECT_THAT(f.steps().first, ElementsAre(2, -3.5f, 0, 2, 1));
}

TEST(Temperature, Divides) {
  Fixture f{.logits = {1, 2, -4}};
  f.params.temperature = 0.5f;
  EXPECT_THAT(f.steps().first, ElementsAre(2, 4, -8));
}

TEST(Cuts, KeepWhatTheyShould) {
  struct Case {
    int top_k;
    float top_p, min_p;
    std::vector<int32_t> kept;
  };
  const Case cases[] = {
      {0, 1, 0, {0, 1, 2, 3, 4}},
      {-1, 1, 0, {0, 1, 2, 3, 4}},
      {2, 1, 0, {1, 3}},
      {1, 1, 0, {3}},
      {99, 1, 0, {0, 1, 2, 3, 4}},
      {0, 0.39f, 0, {3}},
      {0, 0.41f, 0, {1, 3}},
      {0, 0.71f, 0, {0, 1, 3}},
      {0, 0.999f, 0, {0, 1, 2, 3, 4}},
      {0, 1e-6f, 0, {3}},
      {0, 1, 0.6f, {1, 3}},
      {0, 1, 1, {3}},
      {2, 0.5f, 0, {3}},  // of the two, 0.4 / 0.7 reaches a half
      {3, 0.8f, 0.6f, {1, 3}},
  };
  for (const Case& c : cases) {
    Fixture f{.logits = log_of({0.15, 0.3, 0.05, 0.4, 0.1})};
    f.params.top_k = c.top_k;
    f.params.top_p = c.top_p;
    f.params.min_p = c.min_p;
    EXPECT_EQ(f.steps().second, c.kept) << c.top_k << " " << c.top_p << " " << c.min_p;
  }
}

TEST(Cuts, AmongEqualsTheLowestIdsStay) {
  Fixture f{.logits = std::vector<float>(1000, 1)};
  for (const int k : {3, 600}) {
    f.params.top_k = k;
    const auto kept = f.steps().second;
    EXPECT_EQ(kept.size(), static_cast<size_t>(k));
    EXPECT_EQ(kept.back(), k - 1);
  }
}

// Against a full sort.
TEST(Cuts, AgreeWithSortingOnRandomRows) {
  std::mt19937 random(5);
  std::normal_distribution<float> normal(0, 3);
  for (int round = 0; round < 200; ++round) {
    Fixture f{.logits = std::vector<float>(2 + random() % 2000)};
    for (float& logit : f.logits) logit = std::round(normal(random) * 8) / 8;  // with many equals
    f.params.top_k = round % 3 == 0 ? 0 : 1 + static_cast<int>(random() % 700);
    f.params.top_p = round % 2 == 0 ? 1 : 0.05f + 0.9f * static_cast<float>(random() % 1000) / 1000;
    std::vector<Scored> sorted;
    for (size_t id = 0; id < f.logits.size(); ++id) sorted.push_back({f.logits[id], static_cast<int32_t>(id)});
    std::sort(sorted.begin(), sorted.end(), better);
    if (f.params.top_k > 0 && f.params.top_k < static_cast<int>(sorted.size())) sorted.resize(f.params.top_k);
    double sum = 0, reached = 0;
    for (const auto& s : sorted) sum += std::exp(s.score - sorted[0].score);
    std::vector<int32_t> kept;
    for (const auto& s : sorted) {
      if (f.params.top_p < 1 && reached >= f.params.top_p * sum) break;
      reached += std::exp(s.score - sorted[0].score);
      kept.push_back(s.id);
    }
    std::sort(kept.begin(), kept.end());
    EXPECT_EQ(f.steps().second, kept) << "round " << round;
  }
}

// Entropy 1.394; the surprises 1.897, 1.204, 2.996, 0.916, 2.303: id 1 is the nearest, then 3, 0.
TEST(TypicalP, KeepsTheIdsOfTheExpectedSurprise) {
  const struct {
    float typical_p;
    std::vector<int32_t> kept;
  } rows[] = {
      {0.1f, {1}}, {0.29f, {1}}, {0.31f, {1, 3}}, {0.69f, {1, 3}}, {0.71f, {0, 1, 3}}, {1, {0, 1, 2, 3, 4}},
  };
  for (const auto& row : rows) {
    Fixture f{.logits = log_of({0.15, 0.3, 0.05, 0.4, 0.1})};
    f.params.typical_p = row.typical_p;
    EXPECT_EQ(f.steps().second, row.kept) << row.typical_p;
    f.params.temperature = 0;
    EXPECT_EQ(f.steps().second.size(), 5u) << "greedy";
  }
  Fixture f{.logits = log_of({0.9, 0.05, 0.05})};  // entropy 0.394: the best id is not always near
  f.params.top_k = 2;
  f.params.typical_p = 0.1f;
  EXPECT_THAT(f.steps().second, ElementsAre(0));
}

// Against a full sort, behind the other cuts.
TEST(TypicalP, AgreesWithSortingOnRandomRows) {
  std::mt19937 random(6);
  std::normal_distribution<float> normal(0, 3);
  for (int round = 0; round < 200; ++round) {
    Fixture f{.logits = std::vector<float>(2 + random() % 2000)};
    for (float& logit : f.logits) logit = normal(random);
    f.params.top_k = round % 2 == 0 ? 0 : 1 + static_cast<int>(random() % 700);
    const std::vector<int32_t> before = f.steps().second;
    f.params.typical_p = 0.05f + 0.9f * static_cast<float>(random() % 1000) / 1000;
    double sum = 0, entropy = 0, reached = 0;
    for (const int32_t id : before) sum += std::exp(f.logits[id]);
    const auto surprise = [&](int32_t id) { return std::log(sum) - f.logits[id]; };
    for (const int32_t id : before) entropy += std::exp(f.logits[id]) / sum * surprise(id);
    std::vector<int32_t> sorted = before, kept;
    std::ranges::sort(sorted, {}, [&](int32_t id) { return std::abs(surprise(id) - entropy); });
    for (const int32_t id : sorted) {
      if (reached >= f.params.typical_p * sum) break;
      reached += std::exp(f.logits[id]);
      kept.push_back(id);
    }
    std::ranges::sort(kept);
    EXPECT_EQ(f.steps().second, kept) << "round " << round;
  }
}

TEST(Weigh, IsTheExponential) {
  std::vector<float> logits;
  for (float x = -95; x <= 0; x += 0.0137f) logits.push_back(x);
  logits.push_back(kNever);
  Scratch scratch(static_cast<int>(logits.size()));
  double expected = 0;
  const double sum = weigh(logits, 0, scratch);
  for (size_t i = 0; i < logits.size(); ++i) {
    const double exact = std::exp(static_cast<double>(logits[i]));
    EXPECT_NEAR(scratch.weights[i], exact, exact * 3e-7 + 1.7e-38) << logits[i];
    expected += exact;
  }
  EXPECT_NEAR(sum, expected, expected * 1e-6);
  EXPECT_EQ(scratch.weights.back(), 0);
}

// A large vocabulary: many stretches, most of them empty.
TEST(Sampler, FindsTheIdBehindEmptyStretches) {
  Fixture f{.logits = std::vector<float>(10 * kStretch + 7, -200)};
  for (const size_t id : {size_t{5}, 4 * kStretch + 1, 10 * kStretch + 6}) f.logits[id] = 0;
  std::set<int32_t> drawn;
  for (int seed = 0; seed < 100; ++seed) {
    f.params.seed = seed;
    drawn.insert(*f.sample());
  }
  EXPECT_THAT(drawn, ElementsAre(5, 4 * kStretch + 1, 10 * kStretch + 6));
}

TEST(Sampler, DrawsByTheProbabilities) {
  const std::vector<double> probabilities = {0.05, 0.5, 0.2, 0.25};
  Fixture f{.logits = log_of(probabilities)};
  Sampler sampler(4);
  constexpr int kDraws = 20000;
  std::vector<int> counts(4);
  for (int i = 0; i < kDraws; ++i) {
    f.params.seed = i;
    ++counts[*sampler.sample({f.params, f.logits, f.prompt, f.output})];
  }
  double chi = 0;
  for (int id = 0; id < 4; ++id) {
    const double expected = probabilities[id] * kDraws;
    chi += (counts[id] - expected) * (counts[id] - expected) / expected;
  }
  EXPECT_LT(chi, 16.27);  // three degrees of freedom, 99.9 %
}

TEST(Sampler, SeedAndPositionAloneDecide) {
  Fixture f{.logits = std::vector<float>(5000, 0)};
  f.params.seed = 9;
  const int32_t first = *f.sample();
  EXPECT_EQ(*f.sample(), first);
  std::set<int32_t> others;
  for (int i = 0; i < 10; ++i) {
    f.output.push_back(1);
    others.insert(*f.sample());
  }
  EXPECT_GT(others.size(), 8u);
}

TEST(Sampler, NeverDrawsWhatWasCut) {
  Fixture f{.logits = std::vector<float>(300, 0)};
  f.params.top_k = 2;
  for (int seed = 0; seed < 200; ++seed) {
    f.params.seed = seed;
    EXPECT_LT(*f.sample(), 2);
  }
}

TEST(Logprobs, AreThoseOfTheSoftmax) {
  const auto logits = log_of({0.1, 0.4, 0.4, 0.1});
  Sampler sampler(4);
  const auto got = sampler.logprobs(logits, 2, 3);
  EXPECT_EQ(got.token.id, 2);
  EXPECT_EQ(got.token.rank, 2) << "among equals the lower id comes first";
  EXPECT_NEAR(got.token.logprob, std::log(0.4), 1e-5);
  ASSERT_EQ(got.top.size(), 3u);
  EXPECT_EQ(got.top[0].id, 1);
  EXPECT_EQ(got.top[1].id, 2);
  EXPECT_EQ(got.top[2].id, 0);
  EXPECT_NEAR(got.top[2].logprob, std::log(0.1), 1e-5);
  EXPECT_EQ(got.top[2].rank, 3);
  EXPECT_TRUE(sampler.logprobs(logits, 3, 0).top.empty());
  EXPECT_EQ(sampler.logprobs(logits, 3, 20).top.size(), 4u);
}

TEST(Logprobs, TopAgreesWithSorting) {
  std::mt19937 random(11);
  std::vector<float> logits(997);
  for (float& logit : logits) logit = static_cast<float>(random() % 200) / 10;
  std::vector<Scored> sorted;
  for (int id = 0; id < 997; ++id) sorted.push_back({logits[id], id});
  std::sort(sorted.begin(), sorted.end(), better);
  Sampler sampler(997);
  const auto got = sampler.logprobs(logits, sorted[40].id, 20);
  EXPECT_EQ(got.token.rank, 41);
  for (int i = 0; i < 20; ++i) EXPECT_EQ(got.top[i].id, sorted[i].id);
}

TEST(Logprobs, WantedIdsComeWithTheirRanks) {
  std::mt19937 random(12);
  std::vector<float> logits(997);
  for (float& logit : logits) logit = static_cast<float>(random() % 200) / 10;
  Sampler sampler(997);
  const auto all = sampler.logprobs(logits, 5, 997);
  const std::vector<TokenLogprob> sorted(all.top.begin(), all.top.end());
  const std::vector<int32_t> wanted = {sorted[700].id, sorted[0].id, sorted[996].id, sorted[41].id};
  const auto got = sampler.logprobs(logits, 5, 0, wanted);
  ASSERT_EQ(got.top.size(), 4u);
  for (const size_t at : {0, 1, 2, 3}) {
    const TokenLogprob& expected = sorted[std::array{0, 41, 700, 996}[at]];
    EXPECT_EQ(got.top[at].id, expected.id);
    EXPECT_EQ(got.top[at].rank, expected.rank);
    EXPECT_EQ(got.top[at].logprob, expected.logprob);
  }
}

TEST(Sampler, BadIdsNeverEndTheOutput) {
  Fixture f{.logits = {0, 1, 2, 3}};
  f.params.temperature = 0;
  f.output = {1, 2};
  const struct {
    std::vector<std::vector<int32_t>> bad;
    int32_t best;
  } rows[] = {
      {{{3}}, 2}, {{{2, 3}}, 2}, {{{1, 2, 3}}, 2}, {{{3}, {2, 2}}, 1}, {{{1, 3}}, 3}, {{{0, 1, 2, 3}}, 3}, {{{2}}, 3},
  };
  for (const auto& row : rows) {
    f.params.bad_ids = row.bad;
    EXPECT_EQ(*f.sample(), row.best);
  }
}

// The parameters for the device, and the requests that need the host.
TEST(ForDevice, SaysWhatTheRequestSays) {
  struct Case {
    const char* what;
    bool on_device;
    std::function<void(SampleInput&, SamplingParams&)> set;
  };
  static OnlyThese mask({1, 2});
  const Case cases[] = {
      {"plain", true, [](auto&, auto&) {}},
      {"cuts", true, [](auto&, auto& p) { p.top_k = 3, p.top_p = 0.5f, p.min_p = 0.1f; }},
      {"top_k off", true, [](auto&, auto& p) { p.top_k = -1; }},
      {"prompt_logprobs", true, [](auto&, auto& p) { p.prompt_logprobs = 3; }},
      {"met min_tokens", true, [](auto&, auto& p) { p.min_tokens = 2; }},
      {"min_tokens met in flight", true, [](auto& i, auto& p) { p.min_tokens = 4, i.n_unknown = 2; }},
      {"min_tokens", false, [](auto&, auto& p) { p.min_tokens = 3; }},
      {"logprobs", false, [](auto&, auto& p) { p.logprobs = 0; }},
      {"logit_bias", false, [](auto&, auto& p) { p.logit_bias.emplace_back(1, 1.f); }},
      {"allowed_ids", false, [](auto&, auto& p) { p.allowed_ids.push_back(1); }},
      {"bad_ids", false, [](auto&, auto& p) { p.bad_ids = {{1}}; }},
      {"mask", false, [](auto& i, auto&) { i.mask = &mask; }},
      {"typical_p", false, [](auto&, auto& p) { p.typical_p = 0.9f; }},
      {"presence", false, [](auto&, auto& p) { p.presence_penalty = 0.5f; }},
      {"frequency", false, [](auto&, auto& p) { p.frequency_penalty = -0.5f; }},
      {"repetition", false, [](auto&, auto& p) { p.repetition_penalty = 1.1f; }},
  };
  for (const Case& c : cases) {
    SamplingParams params;
    params.temperature = 0.7f;
    params.seed = 5;
    const std::vector<int32_t> prompt = {1}, output = {2, 3};
    SampleInput input{params, {}, prompt, output};
    c.set(input, params);
    Sampler sampler(10);
    const auto got = sampler.for_device(input);
    ASSERT_EQ(got.has_value(), c.on_device) << c.what;
    if (!got.has_value()) continue;
    EXPECT_EQ(got->temperature, 0.7f);
    EXPECT_EQ(got->top_k, std::max(0, params.top_k)) << c.what;
    EXPECT_EQ(got->top_p, params.top_p);
    EXPECT_EQ(got->min_p, params.min_p);
    EXPECT_EQ(got->uniform, static_cast<float>(uniform(5, 2 + input.n_unknown))) << c.what;
  }
}

TEST(ForDevice, GreedyIsTemperatureZeroAndNoNumberReachesOne) {
  Sampler sampler(10);
  SamplingParams params;
  params.temperature = 1e-6f;
  EXPECT_EQ(sampler.for_device({params, {}, {}, {}})->temperature, 0);
  params.temperature = 1;
  for (params.seed = 0; params.seed < 100000; ++params.seed) {
    EXPECT_LT(sampler.for_device({params, {}, {}, {}})->uniform, 1);
  }
}

}  // namespace
}  // namespace polymath::engine
