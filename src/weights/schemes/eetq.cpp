// EETQ: int8 under a scale of each output, in the order that CUTLASS's GEMM of mixed types reads.
//
//   X.weight or X.qweight   I8 [cols, rows]: bytes with 128 added, reordered
//   X.weight_scales         F16 [rows]
//
// The order is that of compute capability 7.5 and later (grouped.h, Packing::kEetq); nothing in a checkpoint says so.
// Sources: EETQ's python/eetq/modules/qlinear.py and csrc/cutlass_kernels/cutlass_preprocessors.cc.

#include "absl/strings/str_cat.h"
#include "weights/schemes/stored_parts.h"

namespace polymath::weights {
namespace {

absl::StatusOr<GroupedMatrix> load(const Stored& codes, const Stored& scales, const GroupShape& shape) {
  GroupedMatrix m{.shape = shape, .rows = codes.info.shape[1]};
  m.codes = {.data = codes.bytes.data(), .packing = Packing::kEetq};
  ASSIGN_OR_RETURN(m.scales, read_numbers(scales));
  return m;
}

absl::Status find(const FileCheckpoint& files, std::vector<PackedWeight>& out) {
  for (const Stored& codes : files.stored()) {
    std::string_view module = codes.info.name;
    if (codes.type != "I8" || !(cut_ending(module, "qweight") || cut_ending(module, "weight"))) continue;
    const ModuleTensors tensors{files, std::string(module)};
    const tensor::Shape& shape = codes.info.shape;
    if (shape.rank() != 2 || shape.elements() == 0) return bad_tensor(codes, "is no matrix");
    const int64_t cols = shape[0], rows = shape[1];
    if (cols % kEetqTile != 0 || rows % 2 != 0) {
      return bad_tensor(codes, absl::StrCat("has shape ", shape.text(), ", of no whole tiles of ", kEetqTile, "x2"));
    }
    ASSIGN_OR_RETURN(const Stored* scales, tensors.need("weight_scales", codes));
    RETURN_IF_ERROR(check_stored(*scales, "", {rows}));
    PackedWeight packed{.name = tensors.module + "weight",
                        .what = "eetq int8, a scale a row",
                        .shape = {rows, cols},
                        .groups = {.codes = Codes::kInt8, .cols = cols, .group_cols = cols},
                        .main = &codes,
                        .beside = {scales}};
    packed.load = [&codes, scales, groups = packed.groups] { return load(codes, *scales, groups); };
    out.push_back(std::move(packed));
  }
  return absl::OkStatus();
}

}  // namespace

FindWeights parse_eetq(base::JsonReader& j) {
  if (j.s("weights", "int8") != "int8") j.complain("weights", "must be int8");
  return find;
}

}  // namespace polymath::weights
