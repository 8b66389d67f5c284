#include "weights/schemes/fp4.h"

namespace polymath::weights {

absl::StatusOr<PackedWeight> fp4_weight(PackedWeight packed, const Fp4Parts& parts) {
  const tensor::Shape& shape = parts.codes->info.shape;
  if (shape.rank() != 2 || shape.elements() == 0) return bad_tensor(*parts.codes, "is no matrix");
  const int64_t rows = shape[0], cols = 2 * shape[1], group = parts.global != nullptr ? 16 : 32;
  RETURN_IF_ERROR(check_stored(*parts.codes, "U8", {rows, shape[1]}));
  if (cols % group != 0) return bad_tensor(*parts.codes, "has rows of no whole groups");
  RETURN_IF_ERROR(check_stored(*parts.scales, parts.global != nullptr ? "F8_E4M3" : "U8", {rows, cols / group}));
  if (parts.global != nullptr && parts.global->info.shape.elements() != 1) {
    return bad_tensor(*parts.global, "must be one number");
  }
  packed.shape = {rows, cols};
  packed.groups = {.codes = parts.global != nullptr ? Codes::kNvfp4 : Codes::kMxfp4, .cols = cols, .group_cols = group};
  packed.main = parts.codes;
  packed.load = [parts, rows, groups = packed.groups]() -> absl::StatusOr<GroupedMatrix> {
    GroupedMatrix m{.shape = groups, .rows = rows};
    m.codes = {
        .data = parts.codes->bytes.data(), .packing = Packing::kNibbles, .bits = 4, .row_bytes = groups.cols / 2};
    ASSIGN_OR_RETURN(m.scales, read_numbers(*parts.scales));
    if (parts.global == nullptr) return m;
    ASSIGN_OR_RETURN(const std::vector<float> global, read_numbers(*parts.global));
    m.tensor_scale = parts.divides ? 1 / global[0] : global[0];
    return m;
  };
  return packed;
}

}  // namespace polymath::weights
