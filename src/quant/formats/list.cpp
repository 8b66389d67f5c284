// Every format, plain ones first. To add one: write its file, then its line below.

#include "quant/format.h"

namespace polymath::quant {

extern const QuantFormat kQ4_0, kQ4_1, kQ5_0, kQ5_1, kQ8_0, kIq4Nl, kMxfp4;
extern const QuantFormat kQ2K, kQ3K, kQ4K, kQ5K, kQ6K;
extern const QuantFormat kIq1S, kIq1M, kIq2Xxs, kIq2Xs, kIq2S, kIq3Xxs, kIq3S, kIq4Xs, kTq1_0, kTq2_0;
extern const QuantFormat kInt4G32, kInt4G128, kInt8G32, kInt8G128, kFp8G32, kFp8G128, kNvfp4, kNf4;

std::span<const QuantFormat* const> quant_formats() {
  static constexpr const QuantFormat* kFormats[] = {
      &kF32,      &kF16,     &kBf16,     &kF64,    &kQ4_0,    &kQ4_1,  &kQ5_0,  &kQ5_1,  &kQ8_0,
      &kIq4Nl,    &kMxfp4,   &kQ2K,      &kQ3K,    &kQ4K,     &kQ5K,   &kQ6K,   &kIq1S,  &kIq1M,
      &kIq2Xxs,   &kIq2Xs,   &kIq2S,     &kIq3Xxs, &kIq3S,    &kIq4Xs, &kTq1_0, &kTq2_0, &kInt4G32,
      &kInt4G128, &kInt8G32, &kInt8G128, &kFp8G32, &kFp8G128, &kNvfp4, &kNf4,
  };
  return kFormats;
}

}  // namespace polymath::quant
