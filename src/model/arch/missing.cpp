// Known families that lack only a block here. Their configs are refused by its name.

#include "model/architecture.h"

namespace polymath::model {
namespace {

struct Missing {
  std::string_view architecture, block;
};

constexpr std::string_view kIndexer = "the sparse-attention indexer";
constexpr std::string_view kMamba2 = "the Mamba-2 layer";
constexpr std::string_view kMamba = "the Mamba layer";
constexpr std::string_view kLightning = "lightning attention";
constexpr std::string_view kKimiDelta = "Kimi delta attention";
constexpr std::string_view kDeltaNet = "the gated delta net with separate projections of q, k, v, z, b and a";

constexpr std::string_view kTwoKinds = "the layer with experts of text beside experts of images";

constexpr Missing kMissing[] = {
    {"Qwen3_5ForCausalLM", kDeltaNet},
    {"Qwen3_5ForConditionalGeneration", kDeltaNet},
    {"Qwen3_5MoeForCausalLM", kDeltaNet},
    {"Qwen3_5MoeForConditionalGeneration", kDeltaNet},
    {"OlmoHybridForCausalLM", kDeltaNet},
    {"DeepseekV32ForCausalLM", kIndexer},
    {"GlmMoeDsaForCausalLM", kIndexer},
    {"MistralLarge4ForCausalLM", kIndexer},
    {"MistralLarge4ForConditionalGeneration", kIndexer},
    {"DeepseekV4ForCausalLM", "compressed sparse attention"},
    {"NemotronHForCausalLM", kMamba2},
    {"GraniteMoeHybridForCausalLM", kMamba2},
    {"BambaForCausalLM", kMamba2},
    {"FalconH1ForCausalLM", kMamba2},
    {"Zamba2ForCausalLM", kMamba2},
    {"JambaForCausalLM", kMamba},
    {"ZambaForCausalLM", kMamba},
    {"KimiLinearForCausalLM", kKimiDelta},
    {"BailingHybridForCausalLM", kKimiDelta},
    {"BailingMoeLinearForCausalLM", kLightning},
    {"BailingMoeLinearV2ForCausalLM", kLightning},
    {"BailingMoeV2_5ForCausalLM", kLightning},
    {"MiniMaxForCausalLM", kLightning},
    {"MiniMaxText01ForCausalLM", kLightning},
    {"MiniMaxM1ForCausalLM", kLightning},
    {"MiniMaxVL01ForConditionalGeneration", kLightning},
    {"MiniMaxM3VLForCausalLM", "block-sparse attention"},
    {"MiniMaxM3SparseForConditionalGeneration", "block-sparse attention"},
    {"Lfm2MoeForCausalLM", "the short convolution"},
    {"Ernie4_5_VLMoeForConditionalGeneration", kTwoKinds},
    {"Ernie4_5_VLMoeForCausalLM", kTwoKinds},
    {"Ernie4_5_VL_MoeForConditionalGeneration", kTwoKinds},
    {"LongcatFlashForCausalLM", "the layer of two attentions with zero-computation experts"},
    {"MiMoV2FlashForCausalLM", "attention whose values are narrower than its keys"},
};

}  // namespace

std::string_view missing_block(std::string_view architecture) {
  for (const Missing& row : kMissing) {
    if (row.architecture == architecture) return row.block;
  }
  return {};
}

}  // namespace polymath::model
