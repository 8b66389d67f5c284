#include "layers/config_check.h"

#include <string>

#include "absl/strings/str_cat.h"

namespace polymath::layers {

absl::Status check_range(std::string_view what, int64_t value, int64_t low, int64_t high) {
  if (value >= low && value <= high) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("config.json: ", std::string(what), " is ", value, "; it must be in [", low, ", ", high, "]"));
}

absl::Status check_split(std::string_view what, int64_t n, int ranks) {
  if (n % ranks == 0) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("--tensor-parallel-size ", ranks, " does not divide the model's ", n, " ", std::string(what)));
}

}  // namespace polymath::layers
