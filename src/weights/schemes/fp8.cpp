// FP8 (E4M3) weights: "fp8" as DeepSeek-V3, Qwen3 and AutoFP8 store it. compressed-tensors and ModelOpt share the
// finder.
//
//   X.weight            F8_E4M3 [rows, cols], or X stacked as [experts, rows, cols]
//   X.weight_scale_inv  or X.weight_scale: of blocks, rows, columns, experts or the whole tensor. value = code * scale
//   X.input_scale       of activations; not used, they are not rounded to FP8
//
// Sources: transformers' integrations/finegrained_fp8.py; config.json of deepseek-ai/DeepSeek-V3.

#include "weights/schemes/fp8.h"

#include "absl/strings/str_cat.h"

namespace polymath::weights {
namespace {

// How a scale tensor divides [experts, rows, cols].
struct Division {
  int64_t group_rows = 0, group_cols = 0;
  bool by_expert = true;  // else one value for all
  std::string what;
};

tensor::Shape without_ones(const tensor::Shape& shape) {
  tensor::Shape out;
  for (int i = 0; i < shape.rank(); ++i) {
    if (shape[i] != 1) out.push_back(shape[i]);
  }
  return out;
}

// Writers drop dimensions of 1, or add some.
bool divides(const tensor::Shape& scales, const tensor::Shape& shape, const Division& by) {
  const int64_t rows = shape[shape.rank() - 2], cols = shape[shape.rank() - 1];
  tensor::Shape wanted;
  if (shape.rank() == 3) wanted.push_back(by.by_expert ? shape[0] : 1);
  wanted.push_back(blocks(rows, by.group_rows));
  wanted.push_back(blocks(cols, by.group_cols));
  return scales.rank() == shape.rank() ? scales == wanted : without_ones(scales) == without_ones(wanted);
}

absl::StatusOr<Division> division_of(const Stored& scale, const Stored& weight, const Fp8Blocks& config) {
  const tensor::Shape& shape = weight.info.shape;
  const int64_t rows = shape[shape.rank() - 2], cols = shape[shape.rank() - 1];
  std::vector<Division> known = {
      {rows, cols, false, "one scale"}, {1, cols, true, "a scale a row"}, {rows, 1, true, "a scale a column"}};
  if (shape.rank() == 3) known.insert(known.begin() + 1, {rows, cols, true, "a scale an expert"});
  if (config.rows > 0) {
    known.insert(known.begin(),
                 {config.rows, config.cols, true, absl::StrCat("blocks of ", config.rows, "x", config.cols)});
  }
  for (const Division& by : known) {
    if (divides(scale.info.shape, shape, by)) return by;
  }
  return bad_tensor(scale,
                    absl::StrCat("has shape ", scale.info.shape.text(), ", which divides no weight of ", shape.text()));
}

// Null: the tensor has no scales.
absl::StatusOr<const Stored*> scale_of(const FileCheckpoint& files, const Stored& weight, const ModuleTensors& module) {
  const Stored* found = nullptr;
  for (const std::string& name :
       {weight.info.name + "_scale_inv", weight.info.name + "_scale", module.module + "qscale_weight"}) {
    const Stored* scale = files.find(name);
    if (scale != nullptr && found != nullptr)
      return bad_tensor(weight, absl::StrCat("has both ", found->info.name, " and ", name));
    if (scale != nullptr) found = scale;
  }
  return found;
}

}  // namespace

absl::Status find_fp8(const FileCheckpoint& files, const std::string& method, const Fp8Blocks& config,
                      std::vector<PackedWeight>& out) {
  for (const Stored& weight : files.stored()) {
    const tensor::Shape& shape = weight.info.shape;
    if (weight.type != "F8_E4M3" || shape.rank() < 2 || shape.rank() > 3 || shape.elements() == 0) continue;
    std::string_view module = weight.info.name;
    const bool named = cut_ending(module, "weight");
    const ModuleTensors beside{files, std::string(module) + (named ? "" : "_")};
    ASSIGN_OR_RETURN(const Stored* scale, scale_of(files, weight, beside));
    if (scale == nullptr) continue;  // read() refuses it, should it be needed
    ASSIGN_OR_RETURN(const Division by, division_of(*scale, weight, config));
    const int64_t cols = shape[shape.rank() - 1], rows = shape.elements() / cols;
    const int64_t of_expert = by.by_expert ? shape[shape.rank() - 2] : rows;
    PackedWeight packed{.name = weight.info.name,
                        .what = absl::StrCat(method, " e4m3, ", by.what),
                        .shape = shape,
                        .groups = {.codes = Codes::kFp8, .cols = cols, .group_cols = by.group_cols},
                        .main = &weight,
                        .beside = beside.present({"input_scale", "activation_scale", "input_scale_inv", "qscale_act"})};
    packed.beside.push_back(scale);
    packed.load = [&weight, scale, by, rows, of_expert, groups = packed.groups]() -> absl::StatusOr<GroupedMatrix> {
      GroupedMatrix m{
          .shape = groups, .rows = rows, .expert_rows = of_expert, .group_rows = by.by_expert ? by.group_rows : rows};
      m.codes = {.data = weight.bytes.data(), .row_bytes = groups.cols};
      ASSIGN_OR_RETURN(m.scales, read_numbers(*scale));
      return m;
    };
    out.push_back(std::move(packed));
  }
  return absl::OkStatus();
}

FindWeights parse_fp8(base::JsonReader& j) {
  const std::string type = j.s("fmt", "e4m3"), scheme = j.s("activation_scheme", "dynamic");
  if (type != "e4m3" && type != "float8_e4m3fn") j.complain("fmt", "must be e4m3");
  if (scheme != "dynamic" && scheme != "static") j.complain("activation_scheme", "must be dynamic or static");
  if (const std::string scales = j.s("scale_fmt", "float"); scales != "float" && scales != "ue8m0") {
    j.complain("scale_fmt", "must be float or ue8m0");
  }
  const std::vector<int> blocks = j.ints("weight_block_size");
  if (!blocks.empty() && (blocks.size() != 2 || blocks[0] < 1 || blocks[1] < 1)) {
    j.complain("weight_block_size", "must be two numbers above 0");
  }
  for (const char* key : {"kv_cache_scheme", "dequantize", "is_checkpoint_fp8_serialized", "weight_per_tensor"})
    j.find(key);
  if (!j.status().ok()) return {};
  const Fp8Blocks config = blocks.empty() ? Fp8Blocks{} : Fp8Blocks{blocks[0], blocks[1]};
  return [config](const FileCheckpoint& files, std::vector<PackedWeight>& out) {
    return find_fp8(files, "fp8", config, out);
  };
}

// Mistral's own files: X.qscale_weight and X.qscale_act of the tensor.
FindWeights parse_mistral_fp8(base::JsonReader&) {
  return
      [](const FileCheckpoint& files, std::vector<PackedWeight>& out) { return find_fp8(files, "fp8_e4m3", {}, out); };
}

// Meta's: scales by row, of activations an upper bound alone.
FindWeights parse_fbgemm_fp8(base::JsonReader& j) {
  j.find("activation_scale_ub");
  return [](const FileCheckpoint& files, std::vector<PackedWeight>& out) {
    return find_fp8(files, "fbgemm_fp8", {}, out);
  };
}

}  // namespace polymath::weights
