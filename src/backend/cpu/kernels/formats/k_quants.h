#pragma once

// Q4_K, Q5_K and Q6_K: 256 inputs under one f16 scale. quant/formats/k_quants.cpp has their blocks.

#include "backend/cpu/kernels/formats/nibbles.h"

namespace polymath::backend::cpu {
namespace {

// Two f16 scales, and 12 bytes of eight 6-bit scales and minimums. In a tile they are at bytes 0, 2 and 4.
struct SixBitScales {
  F32 d, dmin;

  INLINE SixBitScales() = default;
  INLINE explicit SixBitScales(const At& at) : d(at.half(0)), dmin(at.half(2)) {}

  static INLINE I32 byte(const At& at, int i) { return at.byte(4, i); }
  INLINE F32 scale(const At& at, int j) const {
    return d * to_floats(j < 4 ? byte(at, j) & 63 : (byte(at, j + 4) & 15) | byte(at, j - 4) >> 6 << 4);
  }
  INLINE F32 minimum(const At& at, int j) const {
    return dmin * to_floats(j < 4 ? byte(at, j + 4) & 63 : byte(at, j + 4) >> 4 | byte(at, j) >> 6 << 4);
  }
};

struct Q4KWeights {
  static constexpr std::string_view kFormat = "q4_k";
  static constexpr int kInputs = 256, kFileBytes = 144, kScaleInputs = 32, kZero = 0, kSums = 4;
  static constexpr bool kSigned = false, kMinimum = true;
  static constexpr Field kFields[] = {{0, 2, 1}, {2, 2, 1}, {4, 1, 12}, {16, 4, 32}};
  using Block = SixBitScales;

  static INLINE F32 scale(const Block& block, const At& at, int j) { return block.scale(at, j); }
  static INLINE F32 minimum(const Block& block, const At& at, int j) { return block.minimum(at, j); }
  // 32 bytes have the codes of two parts.
  static INLINE void nibbles(const At& at, int offset, int part, U32* out) {
#pragma GCC unroll 8
    for (int q = 0; q < kPartQuads; ++q) {
      out[q] = at.word(offset, part / 2 * 8 + q) >> (part % 2 * 4) & kLowNibbles;
    }
  }
  static INLINE void quads(const At& at, int part, U32* out) { nibbles(at, 16, part, out); }
};

struct Q5KWeights : Q4KWeights {
  static constexpr std::string_view kFormat = "q5_k";
  static constexpr int kFileBytes = 176;
  static constexpr Field kFields[] = {{0, 2, 1}, {2, 2, 1}, {4, 1, 12}, {16, 4, 8}, {48, 4, 32}};

  static INLINE void quads(const At& at, int part, U32* out) {
    nibbles(at, 48, part, out);
#pragma GCC unroll 8
    for (int q = 0; q < kPartQuads; ++q) out[q] |= (at.word(16, q) >> part & 0x01010101u) << 4;
  }
};

struct Q6KWeights {
  static constexpr std::string_view kFormat = "q6_k";
  static constexpr int kInputs = 256, kFileBytes = 210, kScaleInputs = 16, kZero = 32, kSums = 2;
  static constexpr bool kSigned = false, kMinimum = false;
  static constexpr Field kFields[] = {{208, 2, 1}, {192, 1, 16}, {0, 4, 32}, {128, 4, 16}};  // at 0, 2, 18, 146
  using Block = HalfScale;

  static INLINE F32 scale(const Block& block, const At& at, int j) {
    return block.d * to_floats(widen_signed_bytes(at.unit(2, 1, j)));
  }
  static INLINE void quads(const At& at, int part, U32* out) {
    const int half = part / 4, quarter = part % 4;
#pragma GCC unroll 8
    for (int q = 0; q < kPartQuads; ++q) {
      const U32 low = at.word(18, half * 16 + quarter % 2 * 8 + q) >> (quarter / 2 * 4) & kLowNibbles;
      const U32 high = at.word(146, half * 8 + q) >> (2 * quarter) & 0x03030303u;
      out[q] = low | high << 4;
    }
  }
};

// 6-bit scales of 32 inputs, whose upper bits are in a word of their own; codes as IQ4_NL's.
struct Iq4XsWeights {
  static constexpr std::string_view kFormat = "iq4_xs";
  static constexpr int kInputs = 256, kFileBytes = 136, kScaleInputs = 32, kZero = 0, kSums = 1;
  static constexpr bool kSigned = true, kMinimum = false;
  static constexpr Field kFields[] = {{0, 2, 1}, {2, 1, 2}, {4, 1, 4}, {8, 4, 32}};
  using Block = HalfScale;

  static INLINE F32 scale(const Block& block, const At& at, int j) {
    const I32 low = at.byte(4, j / 2) >> (j % 2 * 4) & 15, high = at.byte(2, j / 4) >> (j % 4 * 2) & 3;
    return block.d * to_floats((low | high << 4) - 32);
  }
  static INLINE void quads(const At& at, int part, U32* out) {
#pragma GCC unroll 4
    for (int q = 0; q < kPartQuads / 2; ++q) {
      const U32 word = at.word(8, part * 4 + q);
      out[q] = look_up(kIq4Codes, word & kLowNibbles);
      out[q + 4] = look_up(kIq4Codes, word >> 4 & kLowNibbles);
    }
  }
};

}  // namespace
}  // namespace polymath::backend::cpu
