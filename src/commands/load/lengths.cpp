#include "commands/load/lengths.h"

#include <algorithm>
#include <cmath>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace polymath::commands::load {
namespace {

constexpr double kSigmaMax = 10;  // a wider distribution: kInvalidArgument

absl::StatusOr<int> parse_tokens(const std::string& text) {
  int tokens = 0;
  if (!absl::SimpleAtoi(text, &tokens) || tokens < 1 || tokens > kLengthMax) {
    return absl::InvalidArgumentError(absl::StrCat("`", text, "` is no length between 1 and ", kLengthMax));
  }
  return tokens;
}

absl::StatusOr<std::pair<int, int>> parse_range(const std::string& text) {
  const std::vector<std::string> ends = absl::StrSplit(text, '-');
  if (ends.size() != 2) return absl::InvalidArgumentError(absl::StrCat("`", text, "` is no range such as 100-200"));
  ASSIGN_OR_RETURN(const int low, parse_tokens(ends[0]));
  ASSIGN_OR_RETURN(const int high, parse_tokens(ends[1]));
  if (low > high) return absl::InvalidArgumentError(absl::StrCat("`", text, "` begins above its end"));
  return std::pair(low, high);
}

}  // namespace

absl::StatusOr<Length> Length::parse(std::string_view text) {
  const std::vector<std::string> parts = absl::StrSplit(std::string(text), ':');
  if (parts.size() == 1) {
    ASSIGN_OR_RETURN(const int tokens, parse_tokens(parts[0]));
    return Length(tokens);
  }
  Length out;
  if (parts[0] == "uniform" && parts.size() == 2) {
    ASSIGN_OR_RETURN(auto range, parse_range(parts[1]));
    std::tie(out.low_, out.high_) = range;
    return out;
  }
  const std::vector<std::string> numbers = absl::StrSplit(parts[1], ',');
  if (parts[0] != "lognormal" || parts.size() > 3 || numbers.size() != 2) {
    return absl::InvalidArgumentError(
        absl::StrCat("`", std::string(text), "` is none of 512, uniform:100-200, lognormal:MEDIAN,SIGMA[:LOW-HIGH]"));
  }
  ASSIGN_OR_RETURN(const int median, parse_tokens(numbers[0]));
  if (!absl::SimpleAtod(numbers[1], &out.sigma_) || !(out.sigma_ >= 0 && out.sigma_ <= kSigmaMax)) {
    return absl::InvalidArgumentError(absl::StrCat("`", numbers[1], "` is no sigma between 0 and ", kSigmaMax));
  }
  out.lognormal_ = true;
  out.median_ = median;
  out.high_ = kLengthMax;
  if (parts.size() == 3) {
    ASSIGN_OR_RETURN(auto range, parse_range(parts[2]));
    std::tie(out.low_, out.high_) = range;
  }
  return out;
}

int Length::draw(Draw& from) const {
  if (!lognormal_) return from.between(low_, high_);
  const double tokens = std::round(median_ * std::exp(sigma_ * from.normal()));
  return static_cast<int>(std::clamp(tokens, static_cast<double>(low_), static_cast<double>(high_)));
}

std::string Length::text() const {
  if (lognormal_) return absl::StrCat("lognormal:", median_, ",", sigma_, ":", low_, "-", high_);
  return low_ == high_ ? absl::StrCat(low_) : absl::StrCat("uniform:", low_, "-", high_);
}

}  // namespace polymath::commands::load
