#pragma once

// Blocks of 32 values of 4 bits under one scale: Q4_0, IQ4_NL and MXFP4; Q5_0 has fifth bits beside.

#include "backend/cpu/kernels/packed.h"

namespace polymath::backend::cpu {
namespace {

// As quant/formats/tables.h has them; MXFP4's are moved up to be unsigned.
alignas(16) constexpr int8_t kIq4Codes[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};
constexpr int kFp4Zero = 12;
alignas(16) constexpr int8_t kFp4Codes[16] = {12, 13, 14, 15, 16, 18, 20, 24, 12, 11, 10, 9, 8, 6, 4, 0};

constexpr uint32_t kLowNibbles = 0x0f0f0f0fu;

// The low halves of four words, then the high ones.
INLINE void split_nibbles(const At& at, int offset, U32* out) {
#pragma GCC unroll 4
  for (int q = 0; q < kPartQuads / 2; ++q) {
    const U32 word = at.word(offset, q);
    out[q] = word & kLowNibbles;
    out[q + 4] = word >> 4 & kLowNibbles;
  }
}

struct HalfScale {
  F32 d;
  INLINE HalfScale() = default;
  INLINE explicit HalfScale(const At& at) : d(at.half(0)) {}
};

struct Q4_0Weights {
  static constexpr std::string_view kFormat = "q4_0";
  static constexpr int kInputs = 32, kFileBytes = 18, kScaleInputs = 32, kZero = 8, kSums = 4;
  static constexpr bool kSigned = false, kMinimum = false;
  static constexpr Field kFields[] = {{0, 2, 1}, {2, 4, 4}};
  using Block = HalfScale;

  static INLINE F32 scale(const Block& block, const At&, int) { return block.d; }
  static INLINE void quads(const At& at, int, U32* out) { split_nibbles(at, 2, out); }
};

struct Iq4NlWeights : Q4_0Weights {
  static constexpr std::string_view kFormat = "iq4_nl";
  static constexpr int kZero = 0, kSums = 1;
  static constexpr bool kSigned = true;

  static INLINE void quads(const At& at, int, U32* out) {
    split_nibbles(at, 2, out);
#pragma GCC unroll 8
    for (int q = 0; q < kPartQuads; ++q) out[q] = look_up(kIq4Codes, out[q]);
  }
};

struct Mxfp4Weights {
  static constexpr std::string_view kFormat = "mxfp4";
  static constexpr int kInputs = 32, kFileBytes = 17, kScaleInputs = 32, kZero = kFp4Zero, kSums = 4;
  static constexpr bool kSigned = false, kMinimum = false;
  static constexpr Field kFields[] = {{0, 1, 1}, {1, 4, 4}};

  // 2^(e - 128), of which the two smallest are subnormal.
  struct Block {
    F32 d;
    INLINE Block() = default;
    INLINE explicit Block(const At& at) {
      const I32 e = at.byte(0, 0);
      const U32 normal = reinterpret_cast<U32>((e - 1) << 23), subnormal = splat_bits(0x00200000u)
                                                                           << reinterpret_cast<U32>(e);
      d = floats(e < 2 ? subnormal : normal);
    }
  };
  static INLINE F32 scale(const Block& block, const At&, int) { return block.d; }
  static INLINE void quads(const At& at, int, U32* out) {
    split_nibbles(at, 1, out);
#pragma GCC unroll 8
    for (int q = 0; q < kPartQuads; ++q) out[q] = look_up(kFp4Codes, out[q]);
  }
};

struct Q5_0Weights {
  static constexpr std::string_view kFormat = "q5_0";
  static constexpr int kInputs = 32, kFileBytes = 22, kScaleInputs = 32, kZero = 16, kSums = 4;
  static constexpr bool kSigned = false, kMinimum = false;
  static constexpr Field kFields[] = {{0, 2, 1}, {2, 4, 1}, {6, 4, 4}};
  using Block = HalfScale;

  static INLINE F32 scale(const Block& block, const At&, int) { return block.d; }
  static INLINE void quads(const At& at, int, U32* out) {
    split_nibbles(at, 6, out);
    const U32 fifth = at.word(2, 0);
#pragma GCC unroll 8
    for (int q = 0; q < kPartQuads; ++q) {
      // Four bits to the lowest bit of each byte: the factor copies them 0, 7, 14 and 21 places up.
      const U32 bits = ((fifth >> (4 * q)) & 15u) * 0x00204081u & 0x01010101u;
      out[q] |= bits << 4;
    }
  }
};

}  // namespace
}  // namespace polymath::backend::cpu
