#include "commands/load/measures.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace polymath::commands::load {
namespace {

constexpr double kMs = 1e3;

bool is_good(const Record& record, const std::vector<Bound>& bounds) {
  return std::all_of(bounds.begin(), bounds.end(), [&](const Bound& bound) {
    return latency_ms(record, bound.latency).value_or(0) <= bound.milliseconds_max;
  });
}

// "needs 12 tokens" and "needs 7 tokens" are one kind of failure.
std::string without_numbers(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const bool digit = c >= '0' && c <= '9';
    if (!digit) out += c;
    if (digit && !out.ends_with('#')) out += '#';
  }
  return out;
}

void add_failure(const Record& record, Measures& out) {
  ++out.failed;
  const std::string status = record.status == 0 ? "none" : absl::StrCat(record.status);
  ++out.statuses[status];
  const std::string kind = absl::StrCat(status, ": ", without_numbers(record.error));
  if (out.errors.size() == kErrorsMax && !out.errors.contains(kind)) return;
  Failure& failure = out.errors[kind];
  if (failure.n == 0) failure.example = absl::StrCat(status, ": ", record.error);
  ++failure.n;
}

void add_tokens(const Record& record, Measures& out) {
  out.prompt_tokens += record.prompt_tokens > 0 ? record.prompt_tokens : record.prompt_asked;
  out.prompts_by_server += record.prompt_tokens > 0 ? 1 : 0;
  out.output_tokens += record.output_tokens;
  for (size_t i = 0; i < out.counted.size(); ++i) out.counted[i] += record.counted[i];
}

}  // namespace

std::optional<Latency> find_latency(std::string_view name) {
  for (int i = 0; i < kLatencies; ++i) {
    if (kLatencyRows[i].name == name) return static_cast<Latency>(i);
  }
  return std::nullopt;
}

absl::StatusOr<Bound> parse_bound(std::string_view text) {
  const size_t colon = std::min(text.find(':'), text.size());
  const std::optional<Latency> latency = find_latency(text.substr(0, colon));
  Bound bound;
  const bool number = colon < text.size() &&
                      absl::SimpleAtod(std::string(text.substr(colon + 1)), &bound.milliseconds_max) &&
                      std::isfinite(bound.milliseconds_max) && bound.milliseconds_max > 0;
  if (!latency.has_value() || *latency == Latency::kItl || !number) {
    return absl::InvalidArgumentError(
        absl::StrCat("`", std::string(text), "` is none of ttft:MS, tpot:MS and e2el:MS"));
  }
  bound.latency = *latency;
  return bound;
}

Distribution::Distribution(std::vector<double> values) : sorted_(std::move(values)) {
  if (sorted_.empty()) return;
  std::sort(sorted_.begin(), sorted_.end());
  const double n = static_cast<double>(sorted_.size());
  mean_ = std::accumulate(sorted_.begin(), sorted_.end(), 0.0) / n;
  double squares = 0;
  for (const double value : sorted_) squares += (value - mean_) * (value - mean_);
  deviation_ = std::sqrt(squares / n);
}

double Distribution::percentile(double p) const {
  if (empty()) return 0;
  const double at = p / 100 * static_cast<double>(sorted_.size() - 1);
  const size_t below = static_cast<size_t>(at), above = std::min(below + 1, sorted_.size() - 1);
  const double share = at - static_cast<double>(below);
  return sorted_[below] + share * (sorted_[above] - sorted_[below]);
}

std::optional<double> latency_ms(const Record& record, Latency latency) {
  if (latency == Latency::kE2el) return (record.end - record.due) * kMs;
  if (record.events.empty()) return std::nullopt;
  const double first = record.events.front().at, last = record.events.back().at;
  if (latency == Latency::kTtft) return (first - record.due) * kMs;
  if (latency == Latency::kItl || record.output_tokens < 2) return std::nullopt;
  return (last - first) * kMs / static_cast<double>(record.output_tokens - 1);
}

void add_token_gaps(const Record& record, std::vector<double>& out) {
  double last = -1;
  for (const TokenEvent& event : record.events) {
    if (last >= 0) out.push_back((event.at - last) * kMs);
    out.insert(out.end(), static_cast<size_t>(event.tokens - 1), 0.0);
    last = event.at;
  }
}

Measures measure(const RunResult& run, const std::vector<Bound>& bounds) {
  Measures out;
  out.seconds = run.seconds;
  std::array<std::vector<double>, kLatencies> values;
  std::vector<double> lags;
  for (const Record& record : run.records) {
    lags.push_back((record.sent - record.due) * kMs);
    if (!record.completed()) {
      add_failure(record, out);
      continue;
    }
    ++out.completed;
    add_tokens(record, out);
    for (size_t i = 0; i < values.size(); ++i) {
      if (const auto ms = latency_ms(record, static_cast<Latency>(i)); ms.has_value()) values[i].push_back(*ms);
    }
    add_token_gaps(record, values[static_cast<size_t>(Latency::kItl)]);
    out.good += is_good(record, bounds) ? 1 : 0;
  }
  for (size_t i = 0; i < values.size(); ++i) out.latencies[i] = Distribution(std::move(values[i]));
  out.send_lag = Distribution(std::move(lags));
  return out;
}

}  // namespace polymath::commands::load
