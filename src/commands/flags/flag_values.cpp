#include "commands/flags/flag_values.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"

namespace polymath::commands {
namespace {

struct Unit {
  std::string_view suffix;
  double factor;
};
constexpr Unit kByteUnits[] = {
    {"", 1},        {"K", 1e3},     {"M", 1e6},     {"G", 1e9},     {"T", 1e12},
    {"KI", 0x1p10}, {"MI", 0x1p20}, {"GI", 0x1p30}, {"TI", 0x1p40},
};
// Lengths follow vLLM: a small letter counts in thousands, a capital in 1024s.
constexpr Unit kLengthUnits[] = {{"", 1}, {"k", 1e3}, {"K", 0x1p10}, {"m", 1e6}, {"M", 0x1p20}};

// The number at the beginning; `rest` is what follows it.
absl::StatusOr<double> leading_number(std::string_view text, std::string_view* rest) {
  const size_t end = std::min(text.find_first_not_of("0123456789."), text.size());
  *rest = text.substr(end);
  double value = 0;
  if (!absl::SimpleAtod(std::string(text.substr(0, end)), &value)) {
    return absl::InvalidArgumentError(absl::StrCat("`", std::string(text), "` is not a number"));
  }
  return value;
}

template <size_t N>
absl::StatusOr<double> with_unit(std::string_view text, const Unit (&units)[N], std::string_view suffix, double value) {
  for (const Unit& unit : units) {
    if (unit.suffix == suffix) return value * unit.factor;
  }
  return absl::InvalidArgumentError(absl::StrCat("`", std::string(text), "` has an unknown unit"));
}

}  // namespace

absl::StatusOr<int64_t> parse_int(std::string_view text, IntRange range) {
  int64_t value = 0;
  if (!absl::SimpleAtoi(std::string(text), &value)) {
    return absl::InvalidArgumentError(absl::StrCat("`", std::string(text), "` is not a whole number"));
  }
  if (value < range.min || value > range.max) {
    return absl::InvalidArgumentError(absl::StrCat("must be between ", range.min, " and ", range.max, ", not ", value));
  }
  return value;
}

absl::StatusOr<double> parse_number(std::string_view text, double min, double max) {
  double value = 0;
  if (!absl::SimpleAtod(std::string(text), &value)) {
    return absl::InvalidArgumentError(absl::StrCat("`", std::string(text), "` is not a number"));
  }
  if (!(value >= min && value <= max)) {
    return absl::InvalidArgumentError(absl::StrCat("must be between ", min, " and ", max, ", not ", value));
  }
  return value;
}

absl::StatusOr<bool> parse_bool(std::string_view text) {
  bool value = false;
  if (absl::SimpleAtob(std::string(text), &value)) return value;
  return absl::InvalidArgumentError(absl::StrCat("`", std::string(text), "` is neither true nor false"));
}

absl::StatusOr<int64_t> parse_bytes(std::string_view text) {
  std::string_view rest;
  ASSIGN_OR_RETURN(const double value, leading_number(text, &rest));
  std::string suffix(rest);
  std::transform(suffix.begin(), suffix.end(), suffix.begin(), [](unsigned char c) { return std::toupper(c); });
  if (suffix.ends_with("B")) suffix.pop_back();
  ASSIGN_OR_RETURN(const double bytes, with_unit(text, kByteUnits, suffix, value));
  if (!(bytes >= 0 && bytes <= 0x1p60)) {
    return absl::InvalidArgumentError(absl::StrCat("`", std::string(text), "` is out of range"));
  }
  return static_cast<int64_t>(bytes);
}

absl::StatusOr<int64_t> parse_length(std::string_view text, IntRange range) {
  if (text == "auto" || text == "-1") return 0;
  std::string_view rest;
  ASSIGN_OR_RETURN(const double value, leading_number(text, &rest));
  ASSIGN_OR_RETURN(const double length, with_unit(text, kLengthUnits, rest, value));
  if (!(length >= static_cast<double>(range.min) && length <= static_cast<double>(range.max))) {
    return absl::InvalidArgumentError(
        absl::StrCat("must be between ", range.min, " and ", range.max, ", not ", std::string(text)));
  }
  return static_cast<int64_t>(length);
}

absl::StatusOr<std::vector<int>> parse_layer_counts(std::string_view text) {
  constexpr size_t kStagesMax = 64;
  constexpr IntRange kLayers{1, 2048};
  const std::vector<std::string> parts = absl::StrSplit(std::string(text), ',');
  if (parts.size() > kStagesMax) {
    return absl::InvalidArgumentError(absl::StrCat("at most ", kStagesMax, " stages, not ", parts.size()));
  }
  std::vector<int> layers;
  for (const std::string& part : parts) {
    ASSIGN_OR_RETURN(const int64_t n, parse_int(part, kLayers));
    layers.push_back(static_cast<int>(n));
  }
  return layers;
}

absl::StatusOr<std::string> parse_choice(std::string_view text, std::initializer_list<std::string_view> choices) {
  if (std::find(choices.begin(), choices.end(), text) != choices.end()) return std::string(text);
  std::vector<std::string> names(choices.begin(), choices.end());
  return absl::InvalidArgumentError(
      absl::StrCat("`", std::string(text), "` is not one of ", absl::StrJoin(names, ", ")));
}

std::string bytes_text(double bytes) {
  if (bytes >= 0x1p30) return absl::StrFormat("%.1f GiB", bytes / 0x1p30);
  if (bytes >= 0x1p20) return absl::StrFormat("%.1f MiB", bytes / 0x1p20);
  return absl::StrFormat("%.1f KiB", bytes / 0x1p10);
}

std::string count_text(double count) {
  return count >= 1e9 ? absl::StrFormat("%.2f billion", count / 1e9) : absl::StrFormat("%.2f million", count / 1e6);
}

}  // namespace polymath::commands
