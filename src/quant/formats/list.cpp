// Every format, plain ones first. To add one: write its file, then its line below.

#include "quant/format.h"

namespace polymath::quant {

extern const QuantFormat kQ8_0;

std::span<const QuantFormat* const> quant_formats() {
  static constexpr const QuantFormat* kFormats[] = {
      &kF32, &kF16, &kBf16, &kF64, &kQ8_0,
  };
  return kFormats;
}

}  // namespace polymath::quant
