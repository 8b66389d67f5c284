#pragma once

// A model of the seconds that a step takes, learned from the steps that ran.
//
//   seconds(step) = decodes(n_decodes) + prompts(n_prompt)
//
// Each part is a curve through a point at every power of two. A step that only decodes teaches the first curve, one
// that only prefills the second. A mixed step shares out its error between them in proportion.
//
// Contexts and chosen experts change slowly, so that the curves follow them.
//
// Pure arithmetic: the same steps in the same order give the same numbers. Thread safety: none.

#include <array>

namespace polymath::engine {

// Seconds by a number of tokens.
class TimeCurve {
 public:
  enum class Below { kConstant, kProportional };  // left of the first known point
  explicit TimeCurve(Below below) : below_(below) {}

  bool known() const { return n_known_ > 0; }
  double at(double tokens) const;                     // 0 if nothing is known
  void learn(int tokens, double seconds);             // moves the nearest point a part of the way
  int tokens_within(double seconds, int most) const;  // the most tokens that take no longer; `most` if none is known

 private:
  static constexpr int kPoints = 24;  // up to 2^23 tokens

  double scaled(double seconds, double from, double to) const;

  Below below_;
  std::array<double, kPoints> seconds_{};  // at 2^i tokens; 0: unknown
  int n_known_ = 0;
};

struct StepShape {
  int n_decodes = 0;  // tokens of sequences that decode
  int n_prompt = 0;   // prompt tokens
};

class StepTimes {
 public:
  void learn(const StepShape& step, double seconds);  // REQUIRES: a step of at least one token

  const TimeCurve& decodes() const { return decodes_; }
  const TimeCurve& prompts() const { return prompts_; }
  double seconds(const StepShape& step) const;

 private:
  TimeCurve decodes_{TimeCurve::Below::kConstant};      // the weights are read for one sequence, too
  TimeCurve prompts_{TimeCurve::Below::kProportional};  // of a mixed step, which has read them already
};

}  // namespace polymath::engine
