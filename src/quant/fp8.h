#pragma once

// The 8-bit floats of quantised checkpoints: values of E4M3, exponents of E8M0.
//
// E4M3 has a sign, 4 bits of exponent (bias 7) and 3 of mantissa. 0x7f and 0xff are NaN; nothing is infinite.
// E8M0 is 2^(e - 127); 255 is NaN. Source: the OCP specifications OFP8 and Microscaling Formats, version 1.0.

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

namespace polymath::quant {

constexpr float kE4m3Largest = 448;

inline float e4m3_to_f32(uint8_t v) {
  const uint32_t magnitude = v & 0x7fu, sign = static_cast<uint32_t>(v & 0x80u) << 24;
  if (magnitude == 0x7f) return std::numeric_limits<float>::quiet_NaN();
  const float value = std::bit_cast<float>(magnitude << 20) * 0x1p120f;  // the exponents' biases are 127 and 7
  return std::bit_cast<float>(std::bit_cast<uint32_t>(value) | sign);
}

// To the nearest value, of two to the even one. What is larger than 448 becomes 448.
inline uint8_t f32_to_e4m3(float v) {
  const uint32_t bits = std::bit_cast<uint32_t>(v), sign = bits >> 24 & 0x80u;
  const float magnitude = std::abs(v);
  if (std::isnan(v)) return 0x7f;
  if (magnitude < 0x1p-6f) return static_cast<uint8_t>(sign | static_cast<uint32_t>(std::nearbyint(magnitude * 512)));
  const uint32_t plain = bits & 0x7fffffffu, rounded = plain + 0x7ffffu + (plain >> 20 & 1u);
  const uint32_t code = (rounded >> 20) - (120u << 3);
  return static_cast<uint8_t>(sign | std::min(code, 0x7eu));
}

inline float e8m0_to_f32(uint8_t e) {
  if (e == 255) return std::numeric_limits<float>::quiet_NaN();
  return std::bit_cast<float>(e == 0 ? 0x00400000u : static_cast<uint32_t>(e) << 23);
}

// REQUIRES: a power of two, 2^-127 to 2^127.
inline uint8_t f32_to_e8m0(float v) { return static_cast<uint8_t>(std::bit_cast<uint32_t>(v) >> 23); }

}  // namespace polymath::quant
