// compressed-tensors, as llm-compressor writes it.
//
//   pack-quantized    X.weight_packed I32 [rows, words], X.weight_shape [2], X.weight_scale [rows, groups],
//                     X.weight_zero_point I32 [words of rows, groups], X.weight_g_idx I32 [cols]
//   int-quantized     X.weight I8 [rows, cols], X.weight_scale, X.weight_zero_point I8
//   float-quantized   X.weight F8_E4M3, X.weight_scale
//   nvfp4-pack-quantized   X.weight_packed U8, X.weight_scale F8_E4M3, X.weight_global_scale F32
//   mxfp4-pack-quantized   X.weight_packed U8, X.weight_scale U8
//
// Packed integers and zero points have 2^(bits - 1) added. Words hold inputs of a row; of zero points, outputs.
// Source: compressed-tensors' compressors/quantized_compressors.

#include <algorithm>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "weights/schemes/fp4.h"
#include "weights/schemes/fp8.h"
#include "weights/schemes/integers.h"

namespace polymath::weights {
namespace {

constexpr const char* kMethod = "compressed-tensors";

struct Options {
  IntegerKinds integers;
  Fp8Blocks blocks;
};

uint32_t word_at(const Stored& stored, int64_t i) {
  uint32_t word;
  std::memcpy(&word, stored.bytes.data() + i * 4, sizeof(word));
  return word;
}

// A module of integers.
struct Integers {
  const Stored *codes = nullptr, *scales = nullptr, *zeros = nullptr, *order = nullptr;
  bool packed = false;  // in words
  int bits = 8;
  int64_t rows = 0, cols = 0, groups = 0, group = 0;
};

// "weight_shape": two integers.
absl::StatusOr<int64_t> stored_cols(const Stored& shape, int64_t rows) {
  RETURN_IF_ERROR(check_stored(shape, "", {2}));
  int64_t dims[2] = {};
  if (shape.type == "I64") {
    std::memcpy(dims, shape.bytes.data(), sizeof(dims));
  } else if (shape.type == "I32") {
    for (int i = 0; i < 2; ++i) dims[i] = static_cast<int32_t>(word_at(shape, i));
  } else {
    return bad_tensor(shape, "must have integers");
  }
  if (dims[0] != rows || dims[1] < 1) return bad_tensor(shape, "does not fit the packed tensor");
  return dims[1];
}

absl::Status set_groups(const Options& options, Integers& p) {
  const tensor::Shape& shape = p.scales->info.shape;
  const int64_t n = shape.elements();
  if (n < 1 || (n > 1 && (shape.rank() < 1 || shape[0] != p.rows || n % p.rows != 0))) {
    return bad_tensor(*p.scales, absl::StrCat("has shape ", shape.text(), ", for ", p.rows, " outputs"));
  }
  p.groups = n == 1 ? 1 : n / p.rows;
  p.group = blocks(p.cols, p.groups);
  for (const IntegerKinds::Kind& kind : options.integers.kinds) {
    if (kind.bits == p.bits && kind.group > 0 && blocks(p.cols, kind.group) == p.groups) p.group = kind.group;
  }
  if (blocks(p.cols, p.group) != p.groups) {
    return bad_tensor(*p.scales, absl::StrCat("has ", p.groups, " groups for ", p.cols, " inputs"));
  }
  return check_kind(*p.codes, options.integers, p.bits, p.group, p.cols);
}

absl::Status check_beside(const Integers& p) {
  if (p.order != nullptr) RETURN_IF_ERROR(check_stored(*p.order, "I32", {p.cols}));
  if (p.zeros == nullptr) return absl::OkStatus();
  const int64_t n = p.scales->info.shape.elements();
  if (p.packed) return check_stored(*p.zeros, "I32", {blocks(p.rows, 32 / p.bits), p.groups});
  if (p.zeros->type == "I8" && p.zeros->info.shape.elements() == n) return absl::OkStatus();
  return bad_tensor(*p.zeros, "must be I8, one for each scale");
}

absl::StatusOr<Integers> integers_of(const ModuleTensors& module, const Stored& codes, const Options& options) {
  Integers p{.codes = &codes, .packed = codes.type == "I32"};
  const tensor::Shape& shape = codes.info.shape;
  if (shape.rank() != 2 || shape.elements() == 0) return bad_tensor(codes, "is no matrix");
  ASSIGN_OR_RETURN(p.scales, module.need("weight_scale", codes));
  p.zeros = module.find("weight_zero_point");
  p.order = module.find("weight_g_idx");
  p.rows = shape[0];
  p.cols = shape[1];
  if (p.packed) {
    ASSIGN_OR_RETURN(const Stored* dims, module.need("weight_shape", codes));
    ASSIGN_OR_RETURN(p.cols, stored_cols(*dims, p.rows));
    p.bits = 0;
    for (const int bits : {4, 8}) {
      if (p.cols <= INT64_MAX / 32 && blocks(p.cols, 32 / bits) == shape[1]) p.bits = bits;
    }
    if (p.bits == 0) return bad_tensor(codes, absl::StrCat("has ", shape[1], " words a row for ", p.cols, " inputs"));
  }
  RETURN_IF_ERROR(set_groups(options, p));
  RETURN_IF_ERROR(check_beside(p));
  return p;
}

std::vector<uint16_t> read_zeros(const Integers& p) {
  std::vector<uint16_t> out(static_cast<size_t>(p.scales->info.shape.elements()));
  if (!p.packed) {
    const auto* bytes = reinterpret_cast<const uint8_t*>(p.zeros->bytes.data());
    for (size_t i = 0; i < out.size(); ++i) out[i] = bytes[i] ^ 0x80;
    return out;
  }
  const int in_word = 32 / p.bits;
  const uint32_t mask = (1u << p.bits) - 1;
  for (size_t i = 0; i < out.size(); ++i) {
    const int64_t row = static_cast<int64_t>(i) / p.groups, group = static_cast<int64_t>(i) % p.groups;
    const uint32_t word = word_at(*p.zeros, row / in_word * p.groups + group);
    out[i] = static_cast<uint16_t>(word >> (row % in_word * p.bits) & mask);
  }
  return out;
}

absl::StatusOr<GroupedMatrix> load(const Integers& p, const GroupShape& shape) {
  GroupedMatrix m{.shape = shape, .rows = p.rows};
  if (p.scales->info.shape.elements() == 1) m.group_rows = p.rows;
  m.codes = {.data = p.codes->bytes.data(), .bits = p.bits};
  m.codes.packing = p.packed && p.bits == 4 ? Packing::kNibbles : Packing::kBytes;
  m.codes.row_bytes = p.packed ? p.codes->info.shape[1] * 4 : p.cols;
  m.codes.flipped = p.packed ? 0 : 0x80;
  ASSIGN_OR_RETURN(m.scales, read_numbers(*p.scales));
  if (p.zeros != nullptr) m.zeros = read_zeros(p);
  if (!shape.reordered) return m;
  for (int64_t c = 0; c < p.cols; ++c) {
    const auto group = static_cast<int32_t>(word_at(*p.order, c));
    if (group < 0 || group >= p.groups) {
      return bad_tensor(*p.order, absl::StrCat("has group ", group, " at ", c, "; there are ", p.groups));
    }
    m.group_of.push_back(group);
  }
  return m;
}

absl::Status add_integers(const ModuleTensors& module, const Stored& codes, const Options& options,
                          std::vector<PackedWeight>& out) {
  ASSIGN_OR_RETURN(const Integers p, integers_of(module, codes, options));
  PackedWeight packed{
      .name = module.module + "weight",
      .what = integers_text(kMethod, p.bits, p.group, p.cols) + (p.order != nullptr ? ", reordered" : ""),
      .shape = {p.rows, p.cols},
      .groups = {.codes = p.bits == 4 ? Codes::kInt4 : Codes::kInt8,
                 .cols = p.cols,
                 .group_cols = p.group,
                 .reordered = p.order != nullptr,
                 .zeros = p.zeros != nullptr,
                 .half_scales = is_half(*p.scales)},
      .main = &codes,
      .beside = module.present(
          {"weight_scale", "weight_shape", "weight_zero_point", "weight_g_idx", "input_scale", "input_zero_point"})};
  packed.load = [p, groups = packed.groups] { return load(p, groups); };
  out.push_back(std::move(packed));
  return absl::OkStatus();
}

absl::Status add_fp4(const ModuleTensors& module, const Stored& codes, std::vector<PackedWeight>& out) {
  PackedWeight packed{.name = module.module + "weight",
                      .beside = module.present({"weight_scale", "weight_global_scale", "input_global_scale"})};
  Fp4Parts parts{.codes = &codes, .global = module.find("weight_global_scale"), .divides = true};
  packed.what = absl::StrCat(kMethod, parts.global != nullptr ? " nvfp4" : " mxfp4");
  ASSIGN_OR_RETURN(parts.scales, module.need("weight_scale", codes));
  ASSIGN_OR_RETURN(packed, fp4_weight(std::move(packed), parts));
  out.push_back(std::move(packed));
  return absl::OkStatus();
}

absl::Status find(const FileCheckpoint& files, const Options& options, std::vector<PackedWeight>& out) {
  for (const Stored& stored : files.stored()) {
    std::string_view module = stored.info.name;
    if (cut_ending(module, "weight_packed")) {
      const ModuleTensors tensors{files, std::string(module)};
      RETURN_IF_ERROR(stored.type == "U8" ? add_fp4(tensors, stored, out)
                                          : add_integers(tensors, stored, options, out));
    } else if (stored.type == "I8" && cut_ending(module, "weight")) {
      RETURN_IF_ERROR(add_integers({files, std::string(module)}, stored, options, out));
    }
  }
  return find_fp8(files, kMethod, options.blocks, out);
}

void read_weights(base::JsonReader j, Options& options) {
  const int bits = j.i("num_bits", 8);
  const std::string type = j.s("type", "int"), strategy = j.s("strategy", "");
  if (bits != 4 && bits != 8) j.complain("num_bits", "only 4 and 8 bits are read");
  if (type != "int" && type != "float") j.complain("type", "must be int or float");
  const int group = j.i("group_size", -1);
  if (group != -1 && group < 1) j.complain("group_size", "must be -1 or above 0");
  const std::vector<int> block = j.ints("block_structure");
  if (!block.empty() && (block.size() != 2 || block[0] < 1 || block[1] < 1)) {
    j.complain("block_structure", "must be two numbers above 0");
  } else if (!block.empty()) {
    options.blocks = {block[0], block[1]};
  }
  static constexpr std::string_view kStrategies[] = {"", "tensor", "channel", "group", "tensor_group", "block"};
  if (std::find(std::begin(kStrategies), std::end(kStrategies), strategy) == std::end(kStrategies)) {
    j.complain("strategy", "must be tensor, channel, group, tensor_group or block");
  }
  if (type == "int") options.integers.kinds.push_back({bits, std::max(group, 0)});
  for (const char* key :
       {"symmetric", "dynamic", "observer", "observer_kwargs", "actorder", "scale_dtype", "zp_dtype"}) {
    j.find(key);
  }
}

}  // namespace

FindWeights parse_compressed_tensors(base::JsonReader& j) {
  Options options;
  static constexpr std::string_view kFormats[] = {"pack-quantized",  "int-quantized",        "float-quantized",
                                                  "naive-quantized", "nvfp4-pack-quantized", "mxfp4-pack-quantized",
                                                  "mixed-precision"};
  const auto check_format = [](base::JsonReader& reader) {
    const std::string format = reader.s("format", "int-quantized");
    if (std::find(std::begin(kFormats), std::end(kFormats), format) == std::end(kFormats)) {
      reader.complain("format", absl::StrCat("\"", format, "\" is not read"));
    }
  };
  check_format(j);
  base::JsonReader groups = j.object("config_groups");
  for (const auto& [key, value] : groups.value().get_object()) {
    base::JsonReader group = groups.object({key.data(), key.size()});
    for (const char* known : {"targets", "input_activations", "output_activations"}) group.find(known);
    check_format(group);
    if (group.has("weights")) read_weights(group.object("weights"), options);
  }
  base::JsonReader sparsity = j.object("sparsity_config");
  if (sparsity.s("format", "dense") != "dense") sparsity.complain("format", "only dense weights are read");
  for (const char* key : {"ignore", "targets", "registry_requires_subclass", "sparsity_structure", "global_sparsity"}) {
    sparsity.find(key);
  }
  if (const auto* transforms = j.find("transform_config"); transforms != nullptr && !base::says_nothing(*transforms)) {
    const auto* inner = transforms->is_object() ? transforms->get_object().if_contains("config_groups") : nullptr;
    if (inner != nullptr && !base::says_nothing(*inner)) j.complain("transform_config", "rotated weights are not read");
  }
  for (const char* key :
       {"kv_cache_scheme", "quantization_status", "global_compression_ratio", "version", "run_compressed"}) {
    j.find(key);
  }
  return [options](const FileCheckpoint& files, std::vector<PackedWeight>& out) { return find(files, options, out); };
}

}  // namespace polymath::weights
