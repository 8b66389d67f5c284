#pragma once

// Integers of 4 or 8 bits under scales: what AWQ, GPTQ and compressed-tensors have in common.

#include <optional>
#include <string>
#include <vector>

#include "weights/schemes/stored_parts.h"

namespace polymath::weights {

// Bits and group sizes that a config allows. A group of 0 is a whole row.
struct IntegerKinds {
  struct Kind {
    int bits = 0;
    int64_t group = 0;
  };
  std::vector<Kind> kinds;
  bool allows(int bits, int64_t group, int64_t cols) const;
};

// A config's `bits` and `group_size`, -1 for a whole row. Complains to the reader.
IntegerKinds::Kind read_kind(base::JsonReader& j, std::string_view bits_key, std::string_view group_key);

// kInvalidArgument: the weight's bits or groups are not those of the config.
absl::Status check_kind(const Stored& main, const IntegerKinds& kinds, int bits, int64_t group, int64_t cols);
// "gptq int4, groups of 128"
std::string integers_text(const std::string& method, int bits, int64_t group, int64_t cols);

// Scales of [groups, rows] as [rows, groups].
std::vector<float> transposed(const std::vector<float>& values, int64_t groups, int64_t rows);

}  // namespace polymath::weights
