#include "commands/load/arrivals.h"

#include <cmath>
#include <string>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "commands/load/lengths.h"

namespace polymath::commands::load {
namespace {

constexpr uint64_t kStream = 0xa441;  // of the seed; others draw lengths and prompts

absl::StatusOr<TraceRow> parse_row(std::string_view line) {
  const std::vector<std::string> words =
      absl::StrSplit(std::string(line), absl::ByAnyChar(" \t\r"), absl::SkipWhitespace());
  TraceRow row;
  if (words.size() != 3 || !absl::SimpleAtod(words[0], &row.seconds) || !absl::SimpleAtoi(words[1], &row.prompt_len) ||
      !absl::SimpleAtoi(words[2], &row.output_len)) {
    return absl::InvalidArgumentError("needs three numbers: seconds, prompt tokens, output tokens");
  }
  if (!(row.seconds >= 0 && row.seconds <= kTraceSecondsMax)) {
    return absl::InvalidArgumentError(absl::StrCat("seconds must be between 0 and ", kTraceSecondsMax));
  }
  if (row.prompt_len < 1 || row.prompt_len > kLengthMax || row.output_len < 1 || row.output_len > kLengthMax) {
    return absl::InvalidArgumentError(absl::StrCat("lengths must be between 1 and ", kLengthMax));
  }
  return row;
}

}  // namespace

Arrivals::Arrivals(const ArrivalOptions& options, uint64_t seed) : options_(options), draw_(seed, kStream) {}

double Arrivals::gap() {
  if (std::isinf(options_.rate)) return 0;
  if (std::isinf(options_.shape)) return 1 / options_.rate;
  return draw_.gamma(options_.shape) / (options_.shape * options_.rate);
}

double Arrivals::next() {
  if (!first_) at_ += gap();
  first_ = false;
  return at_;
}

absl::StatusOr<std::vector<TraceRow>> parse_trace(std::string_view text) {
  std::vector<TraceRow> rows;
  int number = 0;
  for (const auto line : absl::StrSplit(absl::string_view(text.data(), text.size()), '\n')) {
    ++number;
    const size_t begin = line.find_first_not_of(" \t\r");
    if (begin == absl::string_view::npos || line[begin] == '#') continue;
    auto row = parse_row(std::string_view(line.data(), line.size()));
    if (row.ok() && !rows.empty() && row->seconds < rows.back().seconds) {
      row = absl::InvalidArgumentError("arrives before the line above it");
    }
    if (!row.ok()) return absl::InvalidArgumentError(absl::StrCat("line ", number, ": ", row.status().message()));
    if (rows.size() == kTraceRowsMax) {
      return absl::InvalidArgumentError(absl::StrCat("has more than ", kTraceRowsMax, " lines"));
    }
    rows.push_back(*row);
  }
  if (rows.empty()) return absl::InvalidArgumentError("has no line `seconds prompt_len output_len`");
  return rows;
}

}  // namespace polymath::commands::load
