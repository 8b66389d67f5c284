#pragma once

// Metrics of a server, read from Prometheus' text format 0.0.4.
//
//   ASSIGN_OR_RETURN(const Exposition metrics, Exposition::parse(text));
//   metrics.sum("vllm:num_requests_waiting")     // over all label sets; absent: no such metric

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace polymath::commands {

struct Sample {
  std::string name;
  std::map<std::string, std::string> labels;
  double value = 0;  // may be NaN or infinite

  // Empty: the sample has no such label.
  std::string_view label(const std::string& key) const {
    const auto at = labels.find(key);
    return at == labels.end() ? std::string_view() : at->second;
  }
};

class Exposition {
 public:
  static constexpr size_t kBytesMax = 32 << 20;     // a longer text: kInvalidArgument
  static constexpr size_t kSamplesMax = 1'000'000;  // more: kInvalidArgument

  // kInvalidArgument: the message has the line's number.
  static absl::StatusOr<Exposition> parse(std::string_view text);

  const std::vector<Sample>& samples() const { return samples_; }
  std::vector<const Sample*> all(std::string_view name) const;
  std::optional<double> sum(std::string_view name) const;
  // Of samples with that label.
  std::optional<double> sum(std::string_view name, const std::string& key, std::string_view value) const;
  // The quantile of a histogram, interpolated within its bucket; absent: it is empty.
  std::optional<double> quantile(const std::string& histogram, double q) const;

 private:
  std::vector<Sample> samples_;
};

}  // namespace polymath::commands
