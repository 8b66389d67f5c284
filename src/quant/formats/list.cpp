// Every format, plain ones first. Adding one: its file here beside, and its line below.

#include "quant/format.h"

namespace polymath::quant {

std::span<const QuantFormat* const> quant_formats() {
  static constexpr const QuantFormat* kFormats[] = {
      &kF32,
      &kF16,
      &kBf16,
  };
  return kFormats;
}

}  // namespace polymath::quant
