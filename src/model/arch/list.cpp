// Every architecture, in this order: MoE models by age of their family, dense ones, our own. Adding one: its file here
// beside, and its two lines below.

#include "model/architecture.h"

namespace polymath::model {

extern const Architecture kMixtral, kQwen2Moe, kQwen3Moe, kQwen3VlMoe, kQwen3OmniMoe, kMellum, kDeepseek, kDeepseekV2,
    kDeepseekV3, kMistral4, kMistralParams, kDbrx, kOlmoe, kPhiMoe, kGraniteMoe, kGraniteMoeShared, kGptOss, kGlm4Moe,
    kGlm4vMoe, kGlm4MoeLite, kSolarOpen, kDots1, kHyV3, kExaoneMoe, kBailingMoe, kBailingMoeV2, kMinimaxM2, kAfmoe,
    kLlama4, kErnie45Moe, kHunyuanMoe, kQwen3Next, kLlama, kMistral, kMinistral3, kQwen2, kQwen3, kQwen2Vl, kQwen3Vl,
    kPolymathMoe;

std::span<const Architecture* const> architectures() {
  static constexpr const Architecture* kArchitectures[] = {
      &kMixtral,      &kQwen2Moe,     &kQwen3Moe,      &kQwen3VlMoe,
      &kQwen3OmniMoe, &kMellum,       &kDeepseek,      &kDeepseekV2,
      &kDeepseekV3,   &kMistral4,     &kMistralParams, &kDbrx,
      &kOlmoe,        &kPhiMoe,       &kGraniteMoe,    &kGraniteMoeShared,
      &kGptOss,       &kGlm4Moe,      &kGlm4vMoe,      &kGlm4MoeLite,
      &kSolarOpen,    &kDots1,        &kHyV3,          &kExaoneMoe,
      &kBailingMoe,   &kBailingMoeV2, &kMinimaxM2,     &kAfmoe,
      &kLlama4,       &kErnie45Moe,   &kHunyuanMoe,    &kQwen3Next,
      &kLlama,        &kMistral,      &kMinistral3,    &kQwen2,
      &kQwen3,        &kQwen2Vl,      &kQwen3Vl,       &kPolymathMoe,
  };
  return kArchitectures;
}

const Architecture* find_architecture(std::string_view name) {
  for (const Architecture* a : architectures()) {
    for (const std::string_view known : a->names) {
      if (known == name) return a;
    }
  }
  return nullptr;
}

const Architecture* find_model_type(std::string_view model_type) {
  for (const Architecture* a : architectures()) {
    for (const std::string_view known : a->keys.model_types) {
      if (known == model_type) return a;
    }
  }
  return nullptr;
}

}  // namespace polymath::model
