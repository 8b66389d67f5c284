// MXFP4 of gpt-oss: E2M1 values in blocks of 32 under E8M0 scales.
//
//   X_blocks  U8 [experts, rows, blocks, 16]   byte j of a block has value 2j, and value 2j + 1 above it
//   X_scales  U8 [experts, rows, blocks]
//
// The weight keeps the name X_blocks: its shape [experts, rows, cols] is that of the plain X, transposed.
// Source: transformers' integrations/mxfp4.py.

#include "absl/strings/str_cat.h"
#include "weights/schemes/stored_parts.h"

namespace polymath::weights {
namespace {

constexpr int64_t kBlock = 32, kBlockBytes = kBlock / 2;

absl::Status find_mxfp4(const FileCheckpoint& files, std::vector<PackedWeight>& out) {
  for (const Stored& blocks : files.stored()) {
    std::string_view stem = blocks.info.name;
    const tensor::Shape& shape = blocks.info.shape;
    if (!cut_ending(stem, "blocks") || blocks.type != "U8" || shape.rank() != 4 || shape.elements() == 0) continue;
    const ModuleTensors beside{files, std::string(stem)};
    ASSIGN_OR_RETURN(const Stored* scales, beside.need("scales", blocks));
    if (shape[3] != kBlockBytes) return bad_tensor(blocks, "does not have 16 bytes a block");
    RETURN_IF_ERROR(check_stored(*scales, "U8", {shape[0], shape[1], shape[2]}));
    PackedWeight packed{.name = blocks.info.name,
                        .what = "mxfp4",
                        .shape = {shape[0], shape[1], shape[2] * kBlock},
                        .groups = {.codes = Codes::kMxfp4, .cols = shape[2] * kBlock, .group_cols = kBlock},
                        .main = &blocks,
                        .beside = {scales}};
    packed.load = [&blocks, scales, groups = packed.groups]() -> absl::StatusOr<GroupedMatrix> {
      GroupedMatrix m{.shape = groups, .rows = scales->info.shape.elements() / (groups.cols / kBlock)};
      m.codes = {.data = blocks.bytes.data(), .packing = Packing::kNibbles, .bits = 4, .row_bytes = groups.cols / 2};
      ASSIGN_OR_RETURN(m.scales, read_numbers(*scales));
      return m;
    };
    out.push_back(std::move(packed));
  }
  return absl::OkStatus();
}

}  // namespace

FindWeights parse_mxfp4(base::JsonReader& j) {
  j.find("dequantize");
  return find_mxfp4;
}

}  // namespace polymath::weights
