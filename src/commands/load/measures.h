#pragma once

// The figures of a run. Latencies are of completed requests, in milliseconds, and count from when a request was due.

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "commands/load/runner.h"

namespace polymath::commands::load {

// TTFT: to the first event with a token. TPOT: from there to the last one, by token after the first.
// ITL: by token after the first. An event of k tokens has its gap once, then k - 1 gaps of 0.
// E2EL: to the end of the response.
enum class Latency { kTtft, kTpot, kItl, kE2el };
inline constexpr int kLatencies = 4;
struct LatencyRow {
  std::string_view name;   // as flags and JSON spell it
  std::string_view title;  // in the table
};
inline constexpr LatencyRow kLatencyRows[kLatencies] = {
    {"ttft", "time to first token"},
    {"tpot", "time per output token"},
    {"itl", "inter-token latency"},
    {"e2el", "end to end"},
};
std::optional<Latency> find_latency(std::string_view name);

// A request is good if each of these holds.
struct Bound {
  Latency latency = Latency::kTtft;  // but kItl, which is no figure of one request
  double milliseconds_max = 0;       // more: the request is not good
};
// "ttft:500".
absl::StatusOr<Bound> parse_bound(std::string_view text);

class Distribution {
 public:
  explicit Distribution(std::vector<double> values = {});

  bool empty() const { return sorted_.empty(); }
  const std::vector<double>& sorted() const { return sorted_; }
  double mean() const { return mean_; }
  double deviation() const { return deviation_; }  // of the values themselves, not of a larger population
  double max() const { return empty() ? 0 : sorted_.back(); }
  double percentile(double p) const;  // 0 <= p <= 100; between two values: linear. Empty: 0

 private:
  std::vector<double> sorted_;
  double mean_ = 0, deviation_ = 0;
};

// Of one request; absent: it has no such figure (an answer at once has no first token).
std::optional<double> latency_ms(const Record& record, Latency latency);
// The gaps of kItl, added to `out`.
void add_token_gaps(const Record& record, std::vector<double>& out);

// Requests that failed with one sentence; its numbers may differ.
struct Failure {
  std::string example;  // "429: busy", the first of them
  int n = 0;
};

struct Measures {
  int completed = 0;
  int failed = 0;
  double seconds = 0;
  int64_t prompt_tokens = 0;  // by the server where it says, else as asked
  int prompts_by_server = 0;  // requests whose prompt the server counted
  int64_t output_tokens = 0;
  std::array<int64_t, kCountedByKinds> counted{};
  std::array<Distribution, kLatencies> latencies;
  Distribution send_lag;                  // ms that requests were sent late: waiting for room, or the generator's own
  std::map<std::string, int> statuses;    // failures by status ("429"; "none": no response)
  std::map<std::string, Failure> errors;  // by sentence without its numbers; the first kErrorsMax
  int good = 0;                           // within all bounds

  double per_second(double count) const { return seconds > 0 ? count / seconds : 0; }
};
inline constexpr size_t kErrorsMax = 10;  // different sentences kept; others count by status only

Measures measure(const RunResult& run, const std::vector<Bound>& bounds);

}  // namespace polymath::commands::load
