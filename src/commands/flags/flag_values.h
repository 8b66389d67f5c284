#pragma once

// The values that flags take, each checked with its range in the complaint.

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace polymath::commands {

struct IntRange {
  int64_t min = 0;
  int64_t max = 0;
};

inline constexpr IntRange kBalanceSteps{1, 1 << 30};      // of expert balancing
inline constexpr IntRange kRedundantExperts{0, 1 << 16};  // the ranks bound them further

absl::StatusOr<int64_t> parse_int(std::string_view text, IntRange range);
absl::StatusOr<double> parse_number(std::string_view text, double min, double max);
absl::StatusOr<bool> parse_bool(std::string_view text);

// "4096", "512M" (10^6), "4G", "8Gi" (2^30), "1.5GiB". At most 2^60.
absl::StatusOr<int64_t> parse_bytes(std::string_view text);
// "32768", "32k" (10^3), "32K" (2^10), as vLLM reads lengths; "auto" and "-1": 0.
absl::StatusOr<int64_t> parse_length(std::string_view text, IntRange range);

// "12,10,10", as --pipeline-layers has it: 64 numbers of 1 to 2048 at most.
absl::StatusOr<std::vector<int>> parse_layer_counts(std::string_view text);

absl::StatusOr<std::string> parse_choice(std::string_view text, std::initializer_list<std::string_view> choices);

// "1.5 GiB", for people.
std::string bytes_text(double bytes);
// "46.70 billion", "2.69 million".
std::string count_text(double count);

}  // namespace polymath::commands
