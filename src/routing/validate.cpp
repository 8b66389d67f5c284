#include "routing/validate.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "absl/strings/str_format.h"

namespace polymath::routing {
namespace {

absl::Status check_sizes(const RouterConfig& config) {
  if (config.n_experts < 1 || config.n_experts > kExpertsMax) {
    return absl::InvalidArgumentError(
        absl::StrFormat("routing: n_experts is %d, but must be 1 to %d", config.n_experts, kExpertsMax));
  }
  if (config.top_k < 1 || config.top_k > config.n_experts || config.top_k > kTopKMax) {
    return absl::InvalidArgumentError(
        absl::StrFormat("routing: top_k is %d, but must be 1 to %d (%d experts, %d at most)", config.top_k,
                        std::min(config.n_experts, kTopKMax), config.n_experts, kTopKMax));
  }
  return absl::OkStatus();
}

absl::Status check_groups(const RouterConfig& config) {
  if (config.n_groups < 1 || config.n_experts % config.n_groups != 0) {
    return absl::InvalidArgumentError(
        absl::StrFormat("routing: %d experts cannot be split in %d equal groups", config.n_experts, config.n_groups));
  }
  if (config.top_groups < 1 || config.top_groups > config.n_groups) {
    return absl::InvalidArgumentError(
        absl::StrFormat("routing: top_groups is %d, but must be 1 to %d", config.top_groups, config.n_groups));
  }
  const int n_reachable = config.n_experts / config.n_groups * config.top_groups;
  if (config.top_k > n_reachable) {
    return absl::InvalidArgumentError(
        absl::StrFormat("routing: top_k is %d, but the %d best groups hold only %d experts", config.top_k,
                        config.top_groups, n_reachable));
  }
  return absl::OkStatus();
}

absl::Status check_numbers(const RouterConfig& config) {
  const struct {
    const char* name;
    float value;
  } rows[] = {{"normalize_min", config.normalize_min},
              {"normalize_eps", config.normalize_eps},
              {"weight_scale", config.weight_scale},
              {"jitter_eps", config.jitter_eps}};
  for (const auto& row : rows) {
    if (!std::isfinite(row.value) || row.value < 0) {
      return absl::InvalidArgumentError(
          absl::StrFormat("routing: %s is %g, but must be finite and not negative", row.name, row.value));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status validate(const Router& router, const RouterConfig& config) {
  RETURN_IF_ERROR(check_sizes(config));
  RETURN_IF_ERROR(check_groups(config));
  RETURN_IF_ERROR(check_numbers(config));
  const bool knows_groups = router.name.find("_group_") != std::string_view::npos;
  if (!knows_groups && config.n_groups != 1) {
    return absl::InvalidArgumentError(
        absl::StrFormat("routing: %s has no groups, but n_groups is %d", std::string(router.name), config.n_groups));
  }
  if (router.name == "switch_top1" && config.top_k != 1) {
    return absl::InvalidArgumentError(absl::StrFormat("routing: switch_top1 has top_k 1, but it is %d", config.top_k));
  }
  return absl::OkStatus();
}

}  // namespace polymath::routing
