#pragma once

// Random blocks of packed formats, for tests of several rooms. Their values are of the size of weights.

#include <cstdint>
#include <cstring>
#include <random>
#include <string_view>
#include <vector>

#include "quant/format.h"

namespace polymath::quant {

// Where a block has its f16 scales; -1: none. Formats that are kept packed somewhere.
struct ScalePlaces {
  std::string_view format;
  int first = -1, second = -1;
  float scale = 0.01f;
};
inline constexpr ScalePlaces kScalePlaces[] = {
    {"q8_0", 0, -1, 0.01f},   {"q4_0", 0, -1, 0.1f},    {"q5_0", 0, -1, 0.05f},
    {"q4_k", 0, 2, 0.001f},   {"q5_k", 0, 2, 0.001f},   {"q6_k", 208, -1, 3e-4f},
    {"iq4_nl", 0, -1, 0.01f}, {"iq4_xs", 0, -1, 4e-4f}, {"mxfp4", -1, -1, 0.0f},
};

inline std::vector<std::byte> random_blocks(const QuantFormat& format, int64_t n_values, uint32_t seed) {
  std::mt19937 random(seed);
  std::vector<std::byte> bytes(static_cast<size_t>(format.bytes_of(n_values)));
  for (std::byte& b : bytes) b = static_cast<std::byte>(random());
  for (const ScalePlaces& places : kScalePlaces) {
    if (places.format != format.name) continue;
    for (size_t at = 0; at < bytes.size(); at += static_cast<size_t>(format.block_bytes)) {
      if (places.first < 0) bytes[at] = static_cast<std::byte>(120 + random() % 6);  // MXFP4's exponent
      for (const int place : {places.first, places.second}) {
        if (place < 0) continue;
        const float scale = places.scale * (0.5f + static_cast<float>(random() % 1000) / 1000);
        const uint16_t half = tensor::f32_to_f16(scale);
        std::memcpy(bytes.data() + at + static_cast<size_t>(place), &half, sizeof(half));
      }
    }
  }
  return bytes;
}

}  // namespace polymath::quant
