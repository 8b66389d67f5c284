#pragma once

// Groups of Hugging Face's schemes: integers, FP8 or NVFP4 under f32 scales. quant/formats/groups.cpp has their blocks.

#include "backend/cpu/kernels/byte_floats.h"
#include "backend/cpu/kernels/formats/nibbles.h"
#include "quant/formats/tables.h"

namespace polymath::backend::cpu {
namespace {

INLINE F32 float_of(const At& at, int offset) { return floats(at.word(offset, 0)); }

struct FloatScale {
  F32 d;
  INLINE FloatScale() = default;
  INLINE explicit FloatScale(const At& at) : d(float_of(at, 0)) {}
};

// 16 bytes have the codes of a part.
INLINE void part_nibbles(const At& at, int offset, int part, U32* out) {
#pragma GCC unroll 4
  for (int q = 0; q < kPartQuads / 2; ++q) {
    const U32 word = at.word(offset, part * (kPartQuads / 2) + q);
    out[q] = word & kLowNibbles;
    out[q + 4] = word >> 4 & kLowNibbles;
  }
}

// f32 scale, u8 zero point, nibbles.
template <int kValues>
struct Int4Weights {
  static constexpr std::string_view kFormat = kValues == 32 ? "int4_g32" : "int4_g128";
  static constexpr int kInputs = kValues, kFileBytes = 5 + kValues / 2, kScaleInputs = 32, kZero = 0, kSums = 4;
  static constexpr bool kSigned = false, kMinimum = true;
  static constexpr Field kFields[] = {{0, 4, 1}, {4, 1, 1}, {5, 4, kValues / 8}};

  struct Block {
    F32 d, minimum;
    INLINE Block() = default;
    INLINE explicit Block(const At& at) : d(float_of(at, 0)), minimum(rounded(d * to_floats(at.byte(4, 0)))) {}
  };
  static INLINE F32 scale(const Block& block, const At&, int) { return block.d; }
  static INLINE F32 minimum(const Block& block, const At&, int) { return block.minimum; }
  static INLINE void quads(const At& at, int part, U32* out) { part_nibbles(at, 5, part, out); }
};

INLINE void part_bytes(const At& at, int part, U32* out) {
#pragma GCC unroll 8
  for (int q = 0; q < kPartQuads; ++q) out[q] = at.word(4, part * kPartQuads + q);
}

// f32 scale, signed bytes.
template <int kValues>
struct Int8Weights {
  static constexpr std::string_view kFormat = kValues == 32 ? "int8_g32" : "int8_g128";
  static constexpr int kInputs = kValues, kFileBytes = 4 + kValues, kScaleInputs = 32, kZero = 0, kSums = 1;
  static constexpr bool kSigned = true, kMinimum = false;
  static constexpr Field kFields[] = {{0, 4, 1}, {4, 4, kValues / 4}};
  using Block = FloatScale;

  static INLINE F32 scale(const Block& block, const At&, int) { return block.d; }
  static INLINE void quads(const At& at, int part, U32* out) { part_bytes(at, part, out); }
};

// f32 scale, E4M3 bytes. Their dot products with int8 activations are no integers, so activations are f32.
template <int kValues>
struct Fp8Weights : Int8Weights<kValues> {
  static constexpr std::string_view kFormat = kValues == 32 ? "fp8_g32" : "fp8_g128";
  static constexpr bool kFloats = true;

  static INLINE F32 value(U32 quad, int j) { return e4m3_top_floats(quad << (24 - 8 * j)); }
};

// f32 scale, nibbles into a table of floats.
struct Nf4Weights {
  static constexpr std::string_view kFormat = "nf4";
  static constexpr int kInputs = 64, kFileBytes = 36, kScaleInputs = 32, kZero = 0, kSums = 1;
  static constexpr bool kSigned = false, kMinimum = false, kFloats = true;
  static constexpr Field kFields[] = {{0, 4, 1}, {4, 4, 8}};
  using Block = FloatScale;

  static INLINE F32 scale(const Block& block, const At&, int) { return block.d; }
  static INLINE void quads(const At& at, int part, U32* out) { part_nibbles(at, 4, part, out); }
  static INLINE F32 value(U32 quad, int j) { return look_up_floats(quant::kNf4Values, quad >> (8 * j) & 15u); }
};

// f32 scale, 4 E4M3 scales of 16 inputs, nibbles of E2M1.
struct Nvfp4Weights {
  static constexpr std::string_view kFormat = "nvfp4";
  static constexpr int kInputs = 64, kFileBytes = 40, kScaleInputs = 16, kZero = kFp4Zero, kSums = 4;
  static constexpr bool kSigned = false, kMinimum = false;
  static constexpr Field kFields[] = {{0, 4, 1}, {4, 1, 4}, {8, 4, 8}};

  struct Block {
    F32 half;  // codes are twice the values
    INLINE Block() = default;
    INLINE explicit Block(const At& at) : half(float_of(at, 0) * 0.5f) {}
  };
  static INLINE F32 scale(const Block& block, const At& at, int j) {
    return rounded(block.half * e4m3_floats(reinterpret_cast<U32>(at.byte(4, j))));
  }
  static INLINE void quads(const At& at, int part, U32* out) {
    part_nibbles(at, 8, part, out);
#pragma GCC unroll 8
    for (int q = 0; q < kPartQuads; ++q) out[q] = look_up(kFp4Codes, out[q]);
  }
};

}  // namespace
}  // namespace polymath::backend::cpu
