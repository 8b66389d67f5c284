// ggml's ternary formats: 256 values of -1, 0 or 1 under one f16 scale.
//
//   TQ1_0: 52 bytes of five or four base-3 digits, f16 d   a byte is ceil(256 / 243 times the number of its digits)
//   TQ2_0: 64 bytes of 2 bits, f16 d

#include <cmath>

#include "quant/formats/blocks.h"

namespace polymath::quant {
namespace {

// Digit n of a byte, first digit highest.
int digit(uint8_t byte, int n) {
  constexpr uint8_t kPowers[] = {1, 3, 9, 27, 81};
  const auto rest = static_cast<uint8_t>(byte * kPowers[n]);
  return rest * 3 >> 8;
}

void decode_tq1_0(const std::byte* block, float* y) {
  // Bytes [begin, begin + n) hold n * digits values: all first digits, then all second ones.
  constexpr struct { int begin, n, digits; } kRuns[] = {{0, 32, 5}, {32, 16, 5}, {48, 4, 4}};
  const float d = half_at(block, 52);
  for (const auto& run : kRuns) {
    for (int k = 0; k < run.digits; ++k) {
      for (int m = 0; m < run.n; ++m) *y++ = static_cast<float>(digit(byte_at(block, run.begin + m), k) - 1) * d;
    }
  }
}

void decode_tq2_0(const std::byte* block, float* y) {
  const float d = half_at(block, 64);
  for (int e = 0; e < kSuperBlock; ++e) {
    const int q = byte_at(block, e / 128 * 32 + e % 32) >> (e % 128 / 32 * 2) & 3;
    y[e] = static_cast<float>(q - 1) * d;
  }
}

// As Q4_0: eight blocks of 32 under the same scale, whose zero is 8.
template <int kBytes, void (*kDecode)(const std::byte*, float*)>
void widen(const std::byte* src, std::byte* dst, int64_t n) {
  float values[kSuperBlock];
  for (int64_t i = 0; i < n; i += kSuperBlock, src += kBytes) {
    kDecode(src, values);
    const std::byte* scale = src + kBytes - 2;
    const float d = half_at(scale, 0);
    const auto code = [&](int e) { return 8 + (d == 0 ? 0 : static_cast<int>(std::round(values[e] / d))); };
    for (int block = 0; block < kSuperBlock; block += 32, dst += kQ4_0.block_bytes) {
      std::memcpy(dst, scale, 2);
      for (int j = 0; j < 16; ++j) dst[2 + j] = static_cast<std::byte>(code(block + j) | code(block + j + 16) << 4);
    }
  }
}

template <int kBytes, void (*kDecode)(const std::byte*, float*)>
constexpr QuantFormat ternary(std::string_view name) {
  QuantFormat format = packed_blocks<kSuperBlock, kBytes, kDecode>(name);
  format.wider = &kQ4_0;
  format.widen = widen<kBytes, kDecode>;
  return format;
}

}  // namespace

extern const QuantFormat kTq1_0 = ternary<54, decode_tq1_0>("tq1_0");
extern const QuantFormat kTq2_0 = ternary<66, decode_tq2_0>("tq2_0");

}  // namespace polymath::quant
