#pragma once

// How many tokens a prompt or an answer has: a distribution, as the command line spells it.
//
//   512                       always
//   uniform:100-200           each of them as likely
//   lognormal:512,0.5         median, and sigma of the logarithm
//   lognormal:512,0.5:16-4096 the same, within bounds

#include <string>
#include <string_view>

#include "base/status.h"
#include "commands/load/draw.h"

namespace polymath::commands::load {

inline constexpr int kLengthMax = 1 << 20;  // a longer prompt or answer: kInvalidArgument, or clamped when drawn

class Length {
 public:
  Length() = default;
  explicit Length(int tokens) : low_(tokens), high_(tokens) {}

  static absl::StatusOr<Length> parse(std::string_view text);

  int draw(Draw& from) const;
  std::string text() const;  // parse() reads it

 private:
  bool lognormal_ = false;
  int low_ = 1, high_ = 1;  // bounds, both included
  double median_ = 1, sigma_ = 0;
};

}  // namespace polymath::commands::load
