// NVIDIA's ModelOpt, by `quant_algo`. Of hf_quant_config.json, the part "quantization" is read.
//
//   FP8, FP8_PB_WO    X.weight F8_E4M3, X.weight_scale of the tensor, of rows or of blocks, X.input_scale
//   NVFP4             X.weight U8 [rows, cols / 2], X.weight_scale F8_E4M3 [rows, cols / 16], X.weight_scale_2 F32
//   MIXED_PRECISION   both, layer by layer
//
// Source: ModelOpt's export/quant_utils.py.

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "weights/schemes/fp4.h"
#include "weights/schemes/fp8.h"

namespace polymath::weights {
namespace {

constexpr std::string_view kAlgorithms[] = {"FP8", "FP8_PB_WO", "FP8_PER_CHANNEL_PER_TOKEN", "NVFP4",
                                            "MIXED_PRECISION"};
constexpr Fp8Blocks kBlocks{128, 128};

absl::Status find_nvfp4(const FileCheckpoint& files, std::vector<PackedWeight>& out) {
  for (const Stored& stored : files.stored()) {
    std::string_view module = stored.info.name;
    if (stored.type != "U8" || !cut_ending(module, "weight")) continue;
    const ModuleTensors tensors{files, std::string(module)};
    PackedWeight packed{.name = stored.info.name,
                        .what = "modelopt nvfp4",
                        .beside = tensors.present({"weight_scale", "weight_scale_2", "input_scale"})};
    Fp4Parts parts{.codes = &stored};
    ASSIGN_OR_RETURN(parts.scales, tensors.need("weight_scale", stored));
    ASSIGN_OR_RETURN(parts.global, tensors.need("weight_scale_2", stored));
    ASSIGN_OR_RETURN(packed, fp4_weight(std::move(packed), parts));
    out.push_back(std::move(packed));
  }
  return absl::OkStatus();
}

void check_algorithm(base::JsonReader& j) {
  const std::string algorithm = j.s("quant_algo");
  if (std::find(std::begin(kAlgorithms), std::end(kAlgorithms), algorithm) == std::end(kAlgorithms)) {
    j.complain("quant_algo", absl::StrCat("\"", algorithm, "\" is not read"));
  }
}

}  // namespace

FindWeights parse_modelopt(base::JsonReader& j) {
  check_algorithm(j);
  base::JsonReader layers = j.object("quantized_layers");
  for (const auto& [key, value] : layers.value().get_object()) {
    base::JsonReader layer = layers.object({key.data(), key.size()});
    check_algorithm(layer);
    layer.find("group_size");
  }
  if (const int group = j.i("group_size", 16); group != 16 && group != 128) {
    j.complain("group_size", "must be 16 (NVFP4) or 128 (FP8 blocks)");
  }
  for (const char* key : {"kv_cache_quant_algo", "kv_cache_scheme", "config_groups", "producer", "version",
                          "has_zero_point", "pre_quant_scale"}) {
    j.find(key);
  }
  return [](const FileCheckpoint& files, std::vector<PackedWeight>& out) {
    RETURN_IF_ERROR(find_nvfp4(files, out));
    return find_fp8(files, "modelopt", kBlocks, out);
  };
}

}  // namespace polymath::weights
