#include "engine/sampling/repetition.h"

#include <gtest/gtest.h>

#include <random>

namespace polymath::engine {
namespace {

// The length of the output at which the rule is met first; 0: never.
size_t met_at(const RepetitionRule& rule, const std::vector<int32_t>& output) {
  RepetitionWatch watch(rule);
  for (size_t n = 1; n <= output.size(); ++n) {
    if (watch.add(std::span(output).first(n))) return n;
  }
  return 0;
}

TEST(Repetition, Cases) {
  const struct {
    RepetitionRule rule;
    std::vector<int32_t> output;
    size_t at;
  } rows[] = {
      {{1, 0, 0}, {1, 1, 1, 1, 1}, 0},              // off
      {{1, 1, 3}, {1, 2, 2, 2}, 4},                 // one token three times
      {{1, 1, 3}, {1, 2, 2, 1, 2, 2}, 0},           // never three in a row
      {{2, 2, 2}, {5, 1, 2, 1, 2}, 5},              // a pair twice
      {{2, 3, 2}, {1, 2, 3, 1, 2, 3}, 6},           // a triple twice
      {{2, 3, 3}, {1, 2, 3, 1, 2, 3, 1, 2, 3}, 9},  // three times
      {{2, 2, 2}, {1, 1, 1, 1}, 4},                 // four equal tokens are a pair twice
      {{4, 8, 2}, {1, 2, 3, 1, 2, 3, 1}, 0},        // shorter patterns are not looked for
  };
  for (const auto& row : rows) EXPECT_EQ(met_at(row.rule, row.output), row.at) << row.output.size();
}

// By the definition: some pattern fills the output's end n_repeats times.
bool repeats(const RepetitionRule& rule, std::span<const int32_t> output) {
  for (int length = rule.pattern_min; length <= rule.pattern_max; ++length) {
    const size_t n = static_cast<size_t>(length) * static_cast<size_t>(rule.n_repeats);
    if (output.size() < n) continue;
    bool same = true;
    for (size_t i = output.size() - n + length; i < output.size(); ++i) same &= output[i] == output[i - length];
    if (same) return true;
  }
  return false;
}

TEST(Repetition, AgreesWithTheDefinition) {
  std::mt19937 random(7);
  for (int trial = 0; trial < 500; ++trial) {
    const RepetitionRule rule{1 + static_cast<int>(random() % 3), 3 + static_cast<int>(random() % 4),
                              2 + static_cast<int>(random() % 3)};
    RepetitionWatch watch(rule);
    std::vector<int32_t> output;
    for (int i = 0; i < 40; ++i) {
      output.push_back(static_cast<int32_t>(random() % 2));
      ASSERT_EQ(watch.add(output), repeats(rule, output)) << trial << " " << i;
    }
  }
}

}  // namespace
}  // namespace polymath::engine
