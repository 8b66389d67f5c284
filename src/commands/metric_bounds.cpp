#include "commands/metric_bounds.h"

#include <cmath>
#include <iterator>

#include "absl/strings/str_cat.h"
#include "base/json.h"

namespace polymath::commands {
namespace {

struct Row {
  std::string_view family, metric;
};

// vLLM's families. Its kv_cache_residency is not here: times of KV blocks are not counted.
constexpr Row kRows[] = {
    {"request_latency", "vllm:e2e_request_latency_seconds"},
    {"request_latency", "vllm:request_queue_time_seconds"},
    {"request_latency", "vllm:request_inference_time_seconds"},
    {"request_latency", "vllm:request_prefill_time_seconds"},
    {"request_latency", "vllm:request_decode_time_seconds"},
    {"time_to_first_token", "vllm:time_to_first_token_seconds"},
    {"inter_token_latency", "vllm:inter_token_latency_seconds"},
    {"inter_token_latency", "vllm:time_per_output_token_seconds"},
    {"inter_token_latency", "vllm:request_time_per_output_token_seconds"},
    {"iteration_tokens", "vllm:iteration_tokens_total"},
    {"request_params_n", "vllm:request_params_n"},
    {"request_tokens", "vllm:request_prompt_tokens"},
    {"request_tokens", "vllm:request_generation_tokens"},
    {"request_tokens", "vllm:request_max_num_generation_tokens"},
    {"request_tokens", "vllm:request_params_max_tokens"},
    {"request_tokens", "vllm:request_prefill_kv_computed_tokens"},
};

absl::Status unknown_family(std::string_view family) {
  std::string known;
  for (const Row* row = std::begin(kRows); row != std::end(kRows); ++row) {
    if (row != std::begin(kRows) && row[-1].family == row->family) continue;
    absl::StrAppend(&known, known.empty() ? "" : ", ", std::string(row->family));
  }
  return absl::InvalidArgumentError(absl::StrCat("`", std::string(family.substr(0, 64)), "` is not one of ", known));
}

absl::StatusOr<std::vector<double>> parse_bounds(const std::string& family, const base::JsonValue& value) {
  const auto wrong = [&](std::string_view what) {
    return absl::InvalidArgumentError(absl::StrCat(family, " ", std::string(what)));
  };
  if (!value.is_array() || value.get_array().empty()) return wrong("must be a list of numbers");
  if (value.get_array().size() > kHistogramBoundsMax) {
    return wrong(absl::StrCat("has more than ", kHistogramBoundsMax, " bounds"));
  }
  std::vector<double> bounds;
  for (const base::JsonValue& item : value.get_array()) {
    if (!item.is_number()) return wrong("must be a list of numbers");
    const double bound = item.to_number<double>();
    const double least = bounds.empty() ? 0 : bounds.back();
    if (!std::isfinite(bound) || bound <= least) return wrong("must be positive, and strictly ascending");
    bounds.push_back(bound);
  }
  return bounds;
}

}  // namespace

absl::StatusOr<std::vector<MetricBounds>> parse_metric_bounds(std::string_view json) {
  ASSIGN_OR_RETURN(const base::JsonValue parsed, base::parse_json(json, {.depth_max = 4, .bytes_max = 1 << 16}));
  if (!parsed.is_object()) return absl::InvalidArgumentError("must be a JSON object of lists of numbers");
  std::vector<MetricBounds> out;
  for (const auto& member : parsed.get_object()) {
    const std::string family(member.key().data(), member.key().size());
    ASSIGN_OR_RETURN(const std::vector<double> bounds, parse_bounds(family, member.value()));
    const size_t before = out.size();
    for (const Row& row : kRows) {
      if (row.family == family) out.push_back({std::string(row.metric), bounds});
    }
    if (out.size() == before) return unknown_family(family);
  }
  return out;
}

}  // namespace polymath::commands
