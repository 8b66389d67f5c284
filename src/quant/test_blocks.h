#pragma once

// Random blocks of packed formats, for tests of several rooms. Their values are of the size of weights.

#include <cstdint>
#include <cstring>
#include <random>
#include <string_view>
#include <vector>

#include "quant/format.h"

namespace polymath::quant {

// Where a block has its scales, -1: none, and how many bytes of E4M3 it has. Formats that are kept packed somewhere.
struct ScalePlaces {
  std::string_view format;
  int first = -1, second = -1;
  float scale = 0.01f;
  bool f32 = false;                 // of the scales; else f16
  int floats_from = 0, floats = 0;  // bytes of E4M3: NaN and large scales are left out
};
inline constexpr ScalePlaces kScalePlaces[] = {
    {"q8_0", 0, -1, 0.01f},
    {"q4_0", 0, -1, 0.1f},
    {"q5_0", 0, -1, 0.05f},
    {"q4_k", 0, 2, 0.001f},
    {"q5_k", 0, 2, 0.001f},
    {"q6_k", 208, -1, 3e-4f},
    {"iq4_nl", 0, -1, 0.01f},
    {"iq4_xs", 0, -1, 4e-4f},
    {"mxfp4", -1, -1, 0.0f},
    {"int4_g32", 0, -1, 0.01f, true},
    {"int4_g128", 0, -1, 0.01f, true},
    {"int8_g32", 0, -1, 0.001f, true},
    {"int8_g128", 0, -1, 0.001f, true},
    {"fp8_g32", 0, -1, 1.0f, true, 4, 32},
    {"fp8_g128", 0, -1, 1.0f, true, 4, 128},
    {"nf4", 0, -1, 0.5f, true},
    {"nvfp4", 0, -1, 0.3f, true, 4, 4},
};

// What the format allows, in a block of random bytes.
inline void mend_block(const QuantFormat& format, const ScalePlaces& places, std::mt19937& random, std::byte* block) {
  if (places.first < 0) block[0] = static_cast<std::byte>(120 + random() % 6);  // MXFP4's exponent
  if (format.name.starts_with("int4_g")) block[4] &= std::byte{15};             // the zero point
  for (int i = 0; i < places.floats; ++i) block[places.floats_from + i] &= std::byte{0xb7};
  for (const int place : {places.first, places.second}) {
    if (place < 0) continue;
    const float scale = places.scale * (0.5f + static_cast<float>(random() % 1000) / 1000);
    const uint16_t half = tensor::f32_to_f16(scale);
    if (places.f32) {
      std::memcpy(block + place, &scale, sizeof(scale));
    } else {
      std::memcpy(block + place, &half, sizeof(half));
    }
  }
}

inline std::vector<std::byte> random_blocks(const QuantFormat& format, int64_t n_values, uint32_t seed) {
  std::mt19937 random(seed);
  std::vector<std::byte> bytes(static_cast<size_t>(format.bytes_of(n_values)));
  for (std::byte& b : bytes) b = static_cast<std::byte>(random());
  for (const ScalePlaces& places : kScalePlaces) {
    if (places.format != format.name) continue;
    for (size_t at = 0; at < bytes.size(); at += static_cast<size_t>(format.block_bytes)) {
      mend_block(format, places, random, bytes.data() + at);
    }
  }
  return bytes;
}

}  // namespace polymath::quant
