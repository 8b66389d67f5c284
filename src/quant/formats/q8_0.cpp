// ggml's Q8_0: 32 values as one f16 scale and 32 signed bytes. value = scale * byte.

#include <algorithm>
#include <cmath>
#include <limits>

#include "quant/formats/blocks.h"

namespace polymath::quant {
namespace {

constexpr int kValues = 32;
constexpr int kBytes = 2 + kValues;

void decode(const std::byte* block, float* y) {
  const float d = half_at(block, 0);
  for (int j = 0; j < kValues; ++j) y[j] = d * static_cast<float>(static_cast<int8_t>(block[2 + j]));
}

// The scale maps the largest magnitude to 127. Bytes are rounded with the f32 scale, before it becomes f16.
void quantize(const float* src, std::byte* dst, int64_t n) {
  for (int64_t i = 0; i < n; i += kValues, dst += kBytes) {
    float largest = 0;
    for (int j = 0; j < kValues; ++j) largest = std::max(largest, std::abs(src[i + j]));
    const float scale = largest / 127;
    const float inverse = scale >= std::numeric_limits<float>::min() ? 1 / scale : 0;  // a subnormal one is 0 as f16
    const uint16_t bits = tensor::f32_to_f16(scale);
    std::memcpy(dst, &bits, sizeof(bits));
    for (int j = 0; j < kValues; ++j)
      dst[2 + j] = static_cast<std::byte>(static_cast<int>(std::round(src[i + j] * inverse)));
  }
}

}  // namespace

extern const QuantFormat kQ8_0 = packed_blocks<kValues, kBytes, decode>("q8_0", quantize);

}  // namespace polymath::quant
