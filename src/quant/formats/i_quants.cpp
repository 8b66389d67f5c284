// ggml's I-quants: 256 values under one f16 scale d, as vectors of a grid (tables.h) with signs beside.
//
//   IQ2_XXS: f16 d, then for 32 values: 4 grid indices of 8 bits; 4 times 7 signs and a 4-bit scale in a u32
//   IQ2_XS:  f16 d, u16[32]: a grid index of 9 bits and 7 signs; 4-bit scales of 16 values
//   IQ2_S:   f16 d, 32 bytes of indices, 32 of 8 signs, 8 of upper bits; 4-bit scales of 16 values
//   IQ3_XXS: f16 d, 64 indices of 4 values each; signs and scales as IQ2_XXS
//   IQ3_S:   f16 d, 64 bytes of indices, 8 of upper bits, 32 of signs, 4-bit scales of 32 values
//   IQ1_S:   f16 d, 32 bytes of indices; for 32 values a u16: upper bits, a 3-bit scale, the sign of a shift
//   IQ1_M:   32 bytes of indices, 16 of upper bits and shifts, u16[4]: 3-bit scales of 16 values and the f16 d
//   IQ4_XS:  f16 d, upper and lower bits of 6-bit scales of 32 values, 128 bytes of nibbles as IQ4_NL's

#include <bit>

#include "quant/formats/blocks.h"
#include "quant/formats/tables.h"

namespace polymath::quant {
namespace {

constexpr int kParts = 8;  // of 32 values

// Eight signs from the seven that are stored: their number of minuses is even.
uint32_t eight_signs(uint32_t seven) { return seven | (static_cast<uint32_t>(std::popcount(seven)) & 1) << 7; }

float signed_value(float value, uint32_t signs, int j) { return (signs >> j & 1) != 0 ? -value : value; }

// How the entries of a grid hold a vector.
struct Grid {
  int bits, values;  // of a code; of a vector
  const int8_t* codes;
};
constexpr Grid kGrid2{2, 8, kGrid2Values}, kGrid3Xxs{3, 4, kGrid3XxsValues}, kGrid3S{3, 4, kGrid3SValues};

void put_vector(const Grid& grid, uint16_t entry, float scale, uint32_t signs, float* y) {
  for (int j = 0; j < grid.values; ++j) {
    const int code = entry >> (grid.bits * j) & ((1 << grid.bits) - 1);
    y[j] = signed_value(scale * static_cast<float>(grid.codes[code]), signs, j);
  }
}

void decode_iq2_xxs(const std::byte* block, float* y) {
  const float d = half_at(block, 0);
  for (int i = 0; i < kParts; ++i) {
    const uint32_t rest = long_at(block, 2 + 8 * i + 4);
    const float scale = d * (0.5f + static_cast<float>(rest >> 28)) * 0.25f;
    for (int l = 0; l < 4; ++l) {
      put_vector(kGrid2, kIq2XxsGrid[byte_at(block, 2 + 8 * i + l)], scale, eight_signs(rest >> (7 * l) & 127),
                 y + 32 * i + 8 * l);
    }
  }
}

// Of 16 values, from 4 bits.
float iq2_scale(float d, const std::byte* scales, int sixteenth) {
  const int s = byte_at(scales, sixteenth / 2) >> (sixteenth % 2 * 4) & 15;
  return d * (0.5f + static_cast<float>(s)) * 0.25f;
}

void decode_iq2_xs(const std::byte* block, float* y) {
  const float d = half_at(block, 0);
  for (int k = 0; k < kSuperBlock / 8; ++k) {
    const uint32_t q = word_at(block, 2 + 2 * k);
    put_vector(kGrid2, kIq2XsGrid[q & 511], iq2_scale(d, block + 66, k / 2), eight_signs(q >> 9), y + 8 * k);
  }
}

void decode_iq2_s(const std::byte* block, float* y) {
  const float d = half_at(block, 0);
  for (int k = 0; k < kSuperBlock / 8; ++k) {
    const int upper = byte_at(block, 66 + k / 4) >> (k % 4 * 2) & 3;
    const int index = byte_at(block, 2 + k) | upper << 8;
    put_vector(kGrid2, kIq2SGrid[index], iq2_scale(d, block + 74, k / 2), byte_at(block, 34 + k), y + 8 * k);
  }
}

void decode_iq3_xxs(const std::byte* block, float* y) {
  const float d = half_at(block, 0);
  for (int i = 0; i < kParts; ++i) {
    const uint32_t rest = long_at(block, 66 + 4 * i);
    const float scale = d * (0.5f + static_cast<float>(rest >> 28)) * 0.5f;
    for (int k = 0; k < 8; ++k) {
      const uint32_t signs = eight_signs(rest >> (7 * (k / 2)) & 127) >> (k % 2 * 4);
      put_vector(kGrid3Xxs, kIq3XxsGrid[byte_at(block, 2 + 8 * i + k)], scale, signs, y + 32 * i + 4 * k);
    }
  }
}

SixBitBlock iq3_xxs_scales(const std::byte* block) {
  SixBitBlock out{half_at(block, 0) / 2, {}};
  for (int i = 0; i < 16; ++i) {
    out.scales[i] = static_cast<int8_t>(1 + 2 * static_cast<int>(long_at(block, 66 + 4 * (i / 2)) >> 28));
  }
  return out;
}

void decode_iq3_s(const std::byte* block, float* y) {
  const float d = half_at(block, 0);
  for (int k = 0; k < kSuperBlock / 4; ++k) {
    const int part = k / 8, s = byte_at(block, 106 + part / 2) >> (part % 2 * 4) & 15;
    const float scale = d * static_cast<float>(1 + 2 * s);
    const int upper = byte_at(block, 66 + part) >> (k % 8) & 1;
    const uint32_t signs = byte_at(block, 74 + k / 2) >> (k % 2 * 4);
    put_vector(kGrid3S, kIq3SGrid[byte_at(block, 2 + k) | upper << 8], scale, signs, y + 4 * k);
  }
}

SixBitBlock iq3_s_scales(const std::byte* block) {
  SixBitBlock out{half_at(block, 0), {}};
  for (int i = 0; i < 16; ++i) {
    const int part = i / 2, s = byte_at(block, 106 + part / 2) >> (part % 2 * 4) & 15;
    out.scales[i] = static_cast<int8_t>(1 + 2 * s);
  }
  return out;
}

// Every value is shifted by an eighth, up or down.
void put_shifted(uint16_t entry, float scale, bool down, float* y) {
  const float shift = down ? -0.125f : 0.125f;
  for (int j = 0; j < 8; ++j) y[j] = scale * (static_cast<float>(kGrid1Values[entry >> (2 * j) & 3]) + shift);
}

void decode_iq1_s(const std::byte* block, float* y) {
  const float d = half_at(block, 0);
  for (int k = 0; k < kSuperBlock / 8; ++k) {
    const int h = word_at(block, 34 + 2 * (k / 4));
    const int index = byte_at(block, 2 + k) | (h >> (k % 4 * 3) & 7) << 8;
    put_shifted(kIq1Grid[index], d * static_cast<float>(2 * (h >> 12 & 7) + 1), (h & 0x8000) != 0, y + 8 * k);
  }
}

SixBitBlock iq1_s_scales(const std::byte* block) {
  SixBitBlock out{half_at(block, 0) / 8, {}};
  for (int i = 0; i < 16; ++i) {
    out.scales[i] = static_cast<int8_t>(2 * (word_at(block, 34 + 2 * (i / 2)) >> 12 & 7) + 1);
  }
  return out;
}

// The f16 scale lies in the upper four bits of four words.
float iq1_m_scale(const std::byte* block) {
  int half = 0;
  for (int i = 0; i < 4; ++i) half |= word_at(block, 48 + 2 * i) >> 12 << (4 * i);
  return tensor::f16_to_f32(static_cast<uint16_t>(half));
}

int iq1_m_part(const std::byte* block, int sixteenth) {
  return 2 * (word_at(block, 48 + sixteenth / 4 * 2) >> (sixteenth % 4 * 3) & 7) + 1;
}

SixBitBlock iq1_m_scales(const std::byte* block) {
  SixBitBlock out{iq1_m_scale(block) / 8, {}};
  for (int i = 0; i < 16; ++i) out.scales[i] = static_cast<int8_t>(iq1_m_part(block, i));
  return out;
}

void decode_iq1_m(const std::byte* block, float* y) {
  const float d = iq1_m_scale(block);
  for (int k = 0; k < kSuperBlock / 8; ++k) {
    const int h = byte_at(block, 32 + k / 2) >> (k % 2 * 4) & 15;
    const int index = byte_at(block, k) | (h & 7) << 8;
    put_shifted(kIq1Grid[index], d * static_cast<float>(iq1_m_part(block, k / 2)), (h & 8) != 0, y + 8 * k);
  }
}

void decode_iq4_xs(const std::byte* block, float* y) {
  const float d = half_at(block, 0);
  for (int i = 0; i < kParts; ++i) {
    const int low = byte_at(block, 4 + i / 2) >> (i % 2 * 4) & 15, high = word_at(block, 2) >> (2 * i) & 3;
    const float scale = d * static_cast<float>((low | high << 4) - 32);
    for (int j = 0; j < 16; ++j) {
      const int q = byte_at(block, 8 + 16 * i + j);
      y[32 * i + j] = scale * static_cast<float>(kIq4Values[q & 15]);
      y[32 * i + j + 16] = scale * static_cast<float>(kIq4Values[q >> 4]);
    }
  }
}

}  // namespace

extern const QuantFormat kIq1S = super_blocks_of_six_bits<50, decode_iq1_s, iq1_s_scales>("iq1_s");
extern const QuantFormat kIq1M = super_blocks_of_six_bits<56, decode_iq1_m, iq1_m_scales>("iq1_m");
extern const QuantFormat kIq2Xxs = packed_blocks<kSuperBlock, 66, decode_iq2_xxs>("iq2_xxs");
extern const QuantFormat kIq2Xs = packed_blocks<kSuperBlock, 74, decode_iq2_xs>("iq2_xs");
extern const QuantFormat kIq2S = packed_blocks<kSuperBlock, 82, decode_iq2_s>("iq2_s");
extern const QuantFormat kIq3Xxs = super_blocks_of_six_bits<98, decode_iq3_xxs, iq3_xxs_scales>("iq3_xxs");
extern const QuantFormat kIq3S = super_blocks_of_six_bits<110, decode_iq3_s, iq3_s_scales>("iq3_s");
extern const QuantFormat kIq4Xs = packed_blocks<kSuperBlock, 136, decode_iq4_xs>("iq4_xs");

}  // namespace polymath::quant
