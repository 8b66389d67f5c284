#include "weights/schemes/integers.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace polymath::weights {

bool IntegerKinds::allows(int bits, int64_t group, int64_t cols) const {
  return std::any_of(kinds.begin(), kinds.end(), [&](const Kind& kind) {
    return kind.bits == bits && (kind.group == 0 || kind.group >= cols ? group >= cols : kind.group == group);
  });
}

IntegerKinds::Kind read_kind(base::JsonReader& j, std::string_view bits_key, std::string_view group_key) {
  const int bits = j.i(bits_key), group = j.i(group_key, -1);
  if (bits != 4 && bits != 8) j.complain(bits_key, "only 4 and 8 bits are read");
  if (group != -1 && group < 1) j.complain(group_key, "must be -1 or above 0");
  return {bits, std::max(group, 0)};
}

absl::Status check_kind(const Stored& main, const IntegerKinds& kinds, int bits, int64_t group, int64_t cols) {
  if (kinds.allows(bits, group, cols)) return absl::OkStatus();
  return bad_tensor(main, absl::StrCat("has ", bits, " bits in groups of ", group,
                                       " inputs by its shape, which quantization_config does not name"));
}

std::string integers_text(const std::string& method, int bits, int64_t group, int64_t cols) {
  return absl::StrCat(method, " int", bits, group >= cols ? ", a scale a row" : absl::StrCat(", groups of ", group));
}

std::vector<float> transposed(const std::vector<float>& values, int64_t groups, int64_t rows) {
  std::vector<float> out(values.size());
  for (int64_t g = 0; g < groups; ++g) {
    for (int64_t r = 0; r < rows; ++r) {
      out[static_cast<size_t>(r * groups + g)] = values[static_cast<size_t>(g * rows + r)];
    }
  }
  return out;
}

}  // namespace polymath::weights
