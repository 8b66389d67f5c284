// bitsandbytes: 4 bits (NF4, FP4) and int8.
//
//   X.weight U8 [values / 2, 1]: the first value of a byte is high
//     .absmax       F32 [blocks], or U8 codes of nested_quant_map, in blocks of their own (nested_absmax)
//     .quant_map    F32 [16]
//     .quant_state.bitsandbytes__nf4   JSON: blocksize, shape, nested_offset
//   X.weight I8 [rows, cols], X.SCB F32 [rows]: value = code * SCB / 127
//
// Source: bitsandbytes' functional.py (QuantState).

#include <cmath>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "quant/formats/tables.h"
#include "weights/schemes/stored_parts.h"

namespace polymath::weights {
namespace {

// The JSON of a quantised weight.
struct QuantState {
  int64_t rows = 0, cols = 0, block = 0, nested_block = 0;
  float nested_offset = 0;
};

absl::StatusOr<QuantState> read_state(const Stored& stored) {
  if (stored.type != "U8") return bad_tensor(stored, "must be JSON in U8");
  const std::string_view text(reinterpret_cast<const char*>(stored.bytes.data()), stored.bytes.size());
  const auto json = base::parse_json(text, {.depth_max = 8, .bytes_max = 1u << 16});
  if (!json.ok()) return bad_tensor(stored, std::string(json.status().message()));
  base::JsonReader j(*json, stored.info.name);
  const std::vector<int> shape = j.ints("shape");
  QuantState state{.block = j.i("blocksize"),
                   .nested_block = j.i("nested_blocksize", 0),
                   .nested_offset = static_cast<float>(j.f("nested_offset", 0))};
  if (shape.size() != 2 || shape[0] < 1 || shape[1] < 1) j.complain("shape", "must be two numbers above 0");
  if (state.block < 1) j.complain("blocksize", "must be above 0");
  if (state.nested_block < 0) j.complain("nested_blocksize", "must not be negative");
  RETURN_IF_ERROR(j.status());
  state.rows = shape[0];
  state.cols = shape[1];
  if (state.cols % state.block == 0) return state;
  return absl::UnimplementedError(absl::StrCat(stored.info.file, ": ", stored.info.name, ": blocks of ", state.block,
                                               " values run over rows of ", state.cols, "; they are not read"));
}

struct FourBits {
  const Stored *codes = nullptr, *absmax = nullptr, *map = nullptr, *nested = nullptr, *nested_map = nullptr;
  QuantState state;
  bool nf4 = false;
};

absl::Status check(const FourBits& p) {
  const int64_t values = p.state.rows * p.state.cols, n_blocks = values / p.state.block;
  if (values % 2 != 0 || p.codes->info.shape.elements() != values / 2) {
    return bad_tensor(*p.codes, absl::StrCat("does not have the ", values, " values of its quant_state"));
  }
  RETURN_IF_ERROR(check_stored(*p.map, "F32", {16}));
  if (p.nested == nullptr) return check_stored(*p.absmax, "F32", {n_blocks});
  if (p.state.nested_block < 1) return bad_tensor(*p.nested, "has no nested_blocksize in quant_state");
  RETURN_IF_ERROR(check_stored(*p.absmax, "U8", {n_blocks}));
  RETURN_IF_ERROR(check_stored(*p.nested_map, "F32", {256}));
  return check_stored(*p.nested, "F32", {blocks(n_blocks, p.state.nested_block)});
}

absl::StatusOr<GroupedMatrix> load(const FourBits& p, const GroupShape& shape) {
  GroupedMatrix m{.shape = shape, .rows = p.state.rows};
  m.codes = {.data = p.codes->bytes.data(), .packing = Packing::kHighFirst, .bits = 4, .row_bytes = p.state.cols / 2};
  if (shape.codes == Codes::kTable) {
    ASSIGN_OR_RETURN(const std::vector<float> map, read_numbers(*p.map));
    for (int64_t r = 0; r < p.state.rows; ++r) m.table.insert(m.table.end(), map.begin(), map.end());
  }
  if (p.nested == nullptr) {
    ASSIGN_OR_RETURN(m.scales, read_numbers(*p.absmax));
    return m;
  }
  ASSIGN_OR_RETURN(const std::vector<float> nested, read_numbers(*p.nested));
  ASSIGN_OR_RETURN(const std::vector<float> map, read_numbers(*p.nested_map));
  const auto* codes = reinterpret_cast<const uint8_t*>(p.absmax->bytes.data());
  for (int64_t i = 0; i < p.absmax->info.shape.elements(); ++i) {
    m.scales.push_back(map[codes[i]] * nested[static_cast<size_t>(i / p.state.nested_block)] + p.state.nested_offset);
  }
  return m;
}

bool is_nf4(const Stored& map) {
  return map.type == "F32" && map.bytes.size() == sizeof(quant::kNf4Values) &&
         std::memcmp(map.bytes.data(), quant::kNf4Values, sizeof(quant::kNf4Values)) == 0;
}

absl::Status add_four_bits(const ModuleTensors& weight, const Stored& codes, std::vector<PackedWeight>& out) {
  const Stored *nf4 = weight.find("quant_state.bitsandbytes__nf4"), *fp4 = weight.find("quant_state.bitsandbytes__fp4");
  if (nf4 == nullptr && fp4 == nullptr) return bad_tensor(codes, "has no quant_state beside it");
  FourBits p{.codes = &codes};
  ASSIGN_OR_RETURN(p.state, read_state(nf4 != nullptr ? *nf4 : *fp4));
  ASSIGN_OR_RETURN(p.absmax, weight.need("absmax", codes));
  ASSIGN_OR_RETURN(p.map, weight.need("quant_map", codes));
  p.nested = weight.find("nested_absmax");
  if (p.nested != nullptr) {
    ASSIGN_OR_RETURN(p.nested_map, weight.need("nested_quant_map", codes));
  }
  RETURN_IF_ERROR(check(p));
  PackedWeight packed{
      .name = codes.info.name,
      .what = absl::StrCat("bitsandbytes ", nf4 != nullptr ? "nf4" : "fp4", ", blocks of ", p.state.block),
      .shape = {p.state.rows, p.state.cols},
      .groups = {.codes = is_nf4(*p.map) ? Codes::kNf4 : Codes::kTable,
                 .cols = p.state.cols,
                 .group_cols = p.state.block},
      .main = &codes,
      .beside = weight.present({"absmax", "quant_map", "nested_absmax", "nested_quant_map",
                                "quant_state.bitsandbytes__nf4", "quant_state.bitsandbytes__fp4"})};
  packed.load = [p, groups = packed.groups] { return load(p, groups); };
  out.push_back(std::move(packed));
  return absl::OkStatus();
}

absl::Status add_int8(const ModuleTensors& module, const Stored& codes, std::vector<PackedWeight>& out) {
  if (codes.info.shape.rank() != 2 || codes.info.shape.elements() == 0) return bad_tensor(codes, "is no matrix");
  const int64_t rows = codes.info.shape[0], cols = codes.info.shape[1];
  ASSIGN_OR_RETURN(const Stored* scales, module.need("SCB", codes));
  RETURN_IF_ERROR(check_stored(*scales, "F32", {rows}));
  PackedWeight packed{.name = codes.info.name,
                      .what = "bitsandbytes int8, a scale a row",
                      .shape = {rows, cols},
                      .groups = {.codes = Codes::kInt8, .cols = cols, .group_cols = cols},
                      .main = &codes,
                      .beside = module.present({"SCB", "weight_format"})};
  packed.load = [&codes, scales, rows, groups = packed.groups]() -> absl::StatusOr<GroupedMatrix> {
    GroupedMatrix m{.shape = groups, .rows = rows};
    m.codes = {.data = codes.bytes.data(), .row_bytes = groups.cols, .flipped = 0x80};
    ASSIGN_OR_RETURN(m.scales, read_numbers(*scales));
    for (float& scale : m.scales) scale /= 127;
    return m;
  };
  out.push_back(std::move(packed));
  return absl::OkStatus();
}

absl::Status find(const FileCheckpoint& files, std::vector<PackedWeight>& out) {
  for (const Stored& stored : files.stored()) {
    std::string_view module = stored.info.name;
    if (!cut_ending(module, "weight")) continue;
    if (stored.type == "I8") RETURN_IF_ERROR(add_int8({files, std::string(module)}, stored, out));
    if (stored.type == "U8") RETURN_IF_ERROR(add_four_bits({files, stored.info.name + "."}, stored, out));
  }
  return absl::OkStatus();
}

}  // namespace

FindWeights parse_bitsandbytes(base::JsonReader& j) {
  for (const char* key : {"load_in_4bit", "load_in_8bit", "_load_in_4bit", "_load_in_8bit", "bnb_4bit_compute_dtype",
                          "bnb_4bit_quant_type", "bnb_4bit_use_double_quant", "bnb_4bit_quant_storage",
                          "llm_int8_enable_fp32_cpu_offload", "llm_int8_has_fp16_weight", "llm_int8_threshold"}) {
    j.find(key);
  }
  if (const std::string storage = j.s("bnb_4bit_quant_storage", "uint8"); storage != "uint8") {
    j.complain("bnb_4bit_quant_storage", "must be uint8");
  }
  return find;
}

}  // namespace polymath::weights
