// ggml's ternary formats: 256 values of -1, 0 or 1 under one f16 scale.
//
//   TQ1_0: 52 bytes of five or four base-3 digits, f16 d   a byte is ceil(256 / 243 times the number of its digits)
//   TQ2_0: 64 bytes of 2 bits, f16 d

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

}  // namespace

extern const QuantFormat kTq1_0 = packed_blocks<kSuperBlock, 54, decode_tq1_0>("tq1_0");
extern const QuantFormat kTq2_0 = packed_blocks<kSuperBlock, 66, decode_tq2_0>("tq2_0");

}  // namespace polymath::quant
