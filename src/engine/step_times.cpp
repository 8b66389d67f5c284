#include "engine/step_times.h"

#include <algorithm>
#include <cmath>

namespace polymath::engine {
namespace {

constexpr double kRate = 0.1;       // a point moves so much of the way to each new value
constexpr double kJumpMax = 4;      // a slower step counts as so many times the known value: a pause is no trend
constexpr double kShareMin = 1e-6;  // seconds; no part of a step is free

}  // namespace

// Proportional to the tokens, or not at all.
double TimeCurve::scaled(double seconds, double from, double to) const {
  return below_ == Below::kProportional || to > from ? seconds * to / from : seconds;
}

double TimeCurve::at(double tokens) const {
  if (n_known_ == 0 || tokens <= 0) return 0;
  int left = -1, right = -1;
  for (int i = 0; i < kPoints; ++i) {
    if (seconds_[i] <= 0) continue;
    if (std::ldexp(1.0, i) <= tokens) left = i;
    if (std::ldexp(1.0, i) >= tokens && right < 0) right = i;
  }
  if (left < 0) return scaled(seconds_[right], std::ldexp(1.0, right), tokens);
  if (right < 0) return scaled(seconds_[left], std::ldexp(1.0, left), tokens);
  if (left == right) return seconds_[left];
  const double from = std::ldexp(1.0, left), to = std::ldexp(1.0, right);
  const double part = (tokens - from) / (to - from);
  return seconds_[left] + part * (seconds_[right] - seconds_[left]);
}

void TimeCurve::learn(int tokens, double seconds) {
  if (tokens < 1) return;
  const int i = std::min(kPoints - 1, static_cast<int>(std::lround(std::log2(tokens))));
  const double center = std::ldexp(1.0, i);
  const double value = std::max(kShareMin, below_ == Below::kProportional ? seconds * center / tokens : seconds);
  if (seconds_[i] <= 0) {
    seconds_[i] = value;
    ++n_known_;
  } else {
    seconds_[i] += kRate * (std::min(value, kJumpMax * seconds_[i]) - seconds_[i]);
  }
}

// By bisection. The curve may fall where it has learned little; then a smaller number is found.
int TimeCurve::tokens_within(double seconds, int most) const {
  if (n_known_ == 0 || at(most) <= seconds) return most;
  int fits = 0, too_many = most;
  while (too_many - fits > 1) {
    const int middle = fits + (too_many - fits) / 2;
    (at(middle) <= seconds ? fits : too_many) = middle;
  }
  return fits;
}

double StepTimes::seconds(const StepShape& step) const {
  return decodes_.at(step.n_decodes) + prompts_.at(step.n_prompt);
}

void StepTimes::learn(const StepShape& step, double seconds) {
  if (step.n_prompt == 0) return decodes_.learn(step.n_decodes, seconds);
  if (step.n_decodes == 0) return prompts_.learn(step.n_prompt, seconds);
  const double decodes = decodes_.at(step.n_decodes), prompts = prompts_.at(step.n_prompt);
  if (!decodes_.known() || !prompts_.known()) {
    if (decodes_.known()) prompts_.learn(step.n_prompt, seconds - decodes);
    if (prompts_.known()) decodes_.learn(step.n_decodes, seconds - prompts);
    return;
  }
  const double ratio = seconds / (decodes + prompts);
  decodes_.learn(step.n_decodes, decodes * ratio);
  prompts_.learn(step.n_prompt, prompts * ratio);
}

}  // namespace polymath::engine
