// AWQ (GEMM layout) and GPTQ: integers in words of 32 bits. Groups of inputs share scale and zero point.
//
//             AWQ                        GPTQ
//   qweight   I32 [cols, rows / 8]       I32 [cols * bits / 32, rows]
//   qzeros    I32 [groups, rows / 8]     I32 [groups, rows * bits / 32]    version 1 stores zero - 1
//   scales    F16 or BF16 [groups, rows]
//   g_idx     -                          I32 [cols]: the group of each input
//
//   value = scale * (code - zero)
//
// Sources: AutoAWQ's utils/packing_utils.py; AutoGPTQ's and GPTQModel's nn_modules/qlinear.

#include <cstring>

#include "absl/strings/str_cat.h"
#include "weights/schemes/integers.h"

namespace polymath::weights {
namespace {

constexpr int kWordBits = 32;

struct Options {
  std::string method;
  IntegerKinds kinds;
  bool awq = false;
  bool reordered = false;  // desc_act: g_idx counts
  bool symmetric = false;  // GPTQ: every zero point is the middle
  int added = 0;           // to each stored zero point
};

// A module's tensors, whose shapes agree.
struct Parts {
  const Stored *codes = nullptr, *zeros = nullptr, *scales = nullptr, *order = nullptr;
  int bits = 4;
  int64_t rows = 0, cols = 0, groups = 0, group = 0;  // `group`: inputs
};

// The bits follow from the zero points, whose words are those of `rows` codes.
absl::Status set_bits(const Options& options, Parts& p) {
  const int64_t words = p.zeros->info.shape.rank() == 2 ? p.zeros->info.shape[1] : 0;
  for (const int bits : {4, 8}) {
    if (p.rows % (kWordBits / bits) == 0 && words == p.rows / (kWordBits / bits)) p.bits = bits;
  }
  const int in_word = kWordBits / p.bits;
  if (p.rows % in_word != 0) return bad_tensor(*p.codes, absl::StrCat("has ", p.rows, " outputs, which fill no words"));
  RETURN_IF_ERROR(check_stored(*p.zeros, "I32", {p.groups, p.rows / in_word}));
  const tensor::Shape& shape = p.codes->info.shape;
  p.cols = options.awq ? shape[0] : shape[0] * in_word;
  const tensor::Shape wanted = options.awq ? tensor::Shape{p.cols, p.rows / in_word} : tensor::Shape{shape[0], p.rows};
  return check_stored(*p.codes, "I32", wanted);
}

absl::StatusOr<Parts> parts_of(const ModuleTensors& module, const Stored& codes, const Options& options) {
  Parts p{.codes = &codes};
  if (codes.info.shape.rank() != 2 || codes.info.shape.elements() == 0) return bad_tensor(codes, "is no matrix");
  ASSIGN_OR_RETURN(p.scales, module.need("scales", codes));
  ASSIGN_OR_RETURN(p.zeros, module.need("qzeros", codes));
  p.order = module.find("g_idx");
  if (p.scales->info.shape.rank() != 2 || p.scales->info.shape.elements() == 0)
    return bad_tensor(*p.scales, "is no matrix");
  p.groups = p.scales->info.shape[0];
  p.rows = p.scales->info.shape[1];
  RETURN_IF_ERROR(set_bits(options, p));
  if (p.order != nullptr) RETURN_IF_ERROR(check_stored(*p.order, "I32", {p.cols}));
  p.group = blocks(p.cols, p.groups);
  for (const IntegerKinds::Kind& kind : options.kinds.kinds) {
    if (kind.group > 0 && blocks(p.cols, kind.group) == p.groups) p.group = kind.group;
  }
  if (blocks(p.cols, p.group) != p.groups) {
    return bad_tensor(*p.scales, absl::StrCat("has ", p.groups, " groups for ", p.cols, " inputs"));
  }
  RETURN_IF_ERROR(check_kind(codes, options.kinds, p.bits, p.group, p.cols));
  return p;
}

// Of [groups, words] as [rows, groups].
std::vector<uint16_t> read_zeros(const Parts& p, const Options& options) {
  const int in_word = kWordBits / p.bits;
  const uint32_t mask = (1u << p.bits) - 1;
  std::vector<uint16_t> out(static_cast<size_t>(p.rows * p.groups));
  for (int64_t g = 0; g < p.groups; ++g) {
    for (int64_t r = 0; r < p.rows; r += in_word) {
      uint32_t word;
      std::memcpy(&word, p.zeros->bytes.data() + (g * (p.rows / in_word) + r / in_word) * 4, sizeof(word));
      for (int i = 0; i < in_word; ++i) {
        const int64_t row = r + (options.awq ? kAwqOrder[i] : i);
        out[static_cast<size_t>(row * p.groups + g)] =
            static_cast<uint16_t>((word >> (i * p.bits) & mask) + static_cast<uint32_t>(options.added));
      }
    }
  }
  return out;
}

// Each input's group. kInvalidArgument: none of the groups, or not the neighbours' that the config promises.
absl::StatusOr<std::vector<int32_t>> read_order(const Parts& p, bool reordered) {
  std::vector<int32_t> order(static_cast<size_t>(p.cols));
  std::memcpy(order.data(), p.order->bytes.data(), order.size() * sizeof(int32_t));
  for (int64_t c = 0; c < p.cols; ++c) {
    const int32_t group = order[static_cast<size_t>(c)];
    if (group < 0 || group >= p.groups) {
      return bad_tensor(*p.order, absl::StrCat("has group ", group, " at ", c, "; there are ", p.groups));
    }
    if (!reordered && group != c / p.group) {
      return bad_tensor(*p.order, absl::StrCat("has group ", group, " at ", c, ", though desc_act is false"));
    }
  }
  return order;
}

absl::StatusOr<GroupedMatrix> load(const Parts& p, const Options& options, const GroupShape& shape) {
  GroupedMatrix m{.shape = shape, .rows = p.rows};
  m.codes = {.data = p.codes->bytes.data(), .packing = options.awq ? Packing::kAwq : Packing::kGptq, .bits = p.bits};
  ASSIGN_OR_RETURN(const std::vector<float> scales, read_numbers(*p.scales));
  m.scales = transposed(scales, p.groups, p.rows);
  m.zeros = read_zeros(p, options);
  if (p.order != nullptr) {
    ASSIGN_OR_RETURN(m.group_of, read_order(p, options.reordered));
  }
  if (shape.zeros) return m;
  const uint16_t middle = static_cast<uint16_t>(1 << (p.bits - 1));
  for (const uint16_t zero : m.zeros) {
    if (zero != middle) return bad_tensor(*p.zeros, absl::StrCat("has a zero point of ", zero, ", though sym is true"));
  }
  m.zeros.clear();
  return m;
}

absl::Status find(const FileCheckpoint& files, const Options& options, std::vector<PackedWeight>& out) {
  for (const Stored& codes : files.stored()) {
    std::string_view module = codes.info.name;
    if (!cut_ending(module, "qweight")) continue;
    const ModuleTensors tensors{files, std::string(module)};
    ASSIGN_OR_RETURN(const Parts p, parts_of(tensors, codes, options));
    const bool reordered = options.reordered && p.order != nullptr;
    PackedWeight packed{
        .name = tensors.module + "weight",
        .what = integers_text(options.method, p.bits, p.group, p.cols) + (reordered ? ", reordered" : ""),
        .shape = {p.rows, p.cols},
        .groups = {.codes = p.bits == 4 ? Codes::kInt4 : Codes::kInt8,
                   .cols = p.cols,
                   .group_cols = p.group,
                   .reordered = reordered,
                   .zeros = p.bits == 4 || !options.symmetric,
                   .half_scales = is_half(*p.scales)},
        .main = &codes,
        .beside = tensors.present({"scales", "qzeros", "g_idx"})};
    packed.load = [p, options, groups = packed.groups] { return load(p, options, groups); };
    out.push_back(std::move(packed));
  }
  return absl::OkStatus();
}

// Bits and groups of modules by pattern, as GPTQModel writes them. A pattern that begins with "-:" leaves modules out.
void add_dynamic(base::JsonReader& j, IntegerKinds& kinds) {
  const IntegerKinds::Kind common = kinds.kinds[0];
  base::JsonReader dynamic = j.object("dynamic");
  for (const auto& [key, value] : dynamic.value().get_object()) {
    base::JsonReader module = dynamic.object({key.data(), key.size()});
    const int bits = module.i("bits", common.bits);
    const int group = module.i("group_size", common.group == 0 ? -1 : static_cast<int>(common.group));
    if (bits != 4 && bits != 8) module.complain("bits", "only 4 and 8 bits are read");
    kinds.kinds.push_back({bits, std::max(group, 0)});
    for (const char* harmless : {"mse", "damp_percent", "damp_auto_increment", "static_groups", "desc_act", "sym"}) {
      module.find(harmless);
    }
  }
}

}  // namespace

FindWeights parse_awq(base::JsonReader& j) {
  const bool old_names = j.has("w_bit");
  Options options{.method = "awq", .awq = true};
  options.kinds.kinds = {read_kind(j, old_names ? "w_bit" : "bits", old_names ? "q_group_size" : "group_size")};
  if (options.kinds.kinds[0].bits != 4) j.complain(old_names ? "w_bit" : "bits", "AWQ has 4 bits");
  const std::string version = j.s("version", "gemm");
  if (version != "gemm" && version != "GEMM") j.complain("version", "only gemm is read");
  for (const char* key :
       {"zero_point", "backend", "do_fuse", "fuse_max_seq_len", "modules_to_fuse", "exllama_config"}) {
    j.find(key);
  }
  return [options](const FileCheckpoint& files, std::vector<PackedWeight>& out) { return find(files, options, out); };
}

FindWeights parse_gptq(base::JsonReader& j) {
  Options options{.method = "gptq"};
  options.kinds.kinds = {read_kind(j, "bits", "group_size")};
  options.reordered = j.b("desc_act", false);
  options.symmetric = j.b("sym", true);
  const std::string format = j.s("checkpoint_format", j.s("format", "gptq"));
  if (format != "gptq" && format != "gptq_v2") j.complain("checkpoint_format", "must be gptq or gptq_v2");
  options.added = format == "gptq" ? 1 : 0;
  if (j.b("is_marlin_format", false)) j.complain("is_marlin_format", "the Marlin layout is not read");
  if (j.s("pack_dtype", "int32") != "int32") j.complain("pack_dtype", "must be int32");
  add_dynamic(j, options.kinds);
  // Of how it was quantised, and of kernels.
  for (const char* key : {"damp_percent",
                          "damp_auto_increment",
                          "static_groups",
                          "true_sequential",
                          "lm_head",
                          "model_name_or_path",
                          "model_file_base_name",
                          "meta",
                          "tokenizer",
                          "dataset",
                          "batch_size",
                          "block_name_to_quantize",
                          "backend",
                          "cache_block_outputs",
                          "model_seqlen",
                          "max_input_length",
                          "module_name_preceding_first_block",
                          "quantizer",
                          "modules_in_block_to_quantize",
                          "pad_token_id",
                          "use_cuda_fp16",
                          "use_exllama",
                          "exllama_config",
                          "disable_exllama",
                          "mse",
                          "parallel_packing",
                          "adapter",
                          "act_group_aware",
                          "fuse_qkv_modules"}) {
    j.find(key);
  }
  return [options](const FileCheckpoint& files, std::vector<PackedWeight>& out) { return find(files, options, out); };
}

}  // namespace polymath::weights
