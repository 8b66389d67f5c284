#pragma once

// The codes of a packed weight's cells, and how a warp turns them into bf16 operands. One struct a kind of cell:
//
//   kCell, kBytes                  as in cells.h
//   load(cell)                     a lane's codes and scales, from shared or global memory
//   fragments<kStep>(words, a)     the operand of inputs 16 kStep ... + 15, of sixteen rows, divided by kFactor
//
// The operand is that of mma.m16n8k16 and of wgmma with A in registers. Lane l has rows l / 4 (a[0], a[2]) and + 8
// (a[1], a[3]). Its inputs are 2 (l % 4) + {0, 1} (a[0], a[1]) and + 8 (a[2], a[3]).
//
// A byte of a cell has codes of one row alone, so that rows are packed independently of each other.
//
// Source: PTX ISA 9.0, prmt, fma.rn.bf16x2; the layouts of ggml's blocks are those of quant/formats.

#include "backend/cuda/device_math.cuh"
#include "backend/cuda/packed/cells.h"

namespace polymath::backend::cuda {

__device__ __forceinline__ uint32_t bf16_sub(uint32_t a, uint32_t b) {
  uint32_t d;
  asm("sub.rn.bf16x2 %0, %1, %2;" : "=r"(d) : "r"(a), "r"(b));
  return d;
}
__device__ __forceinline__ uint32_t bf16_mul(uint32_t a, uint32_t b) {
  uint32_t d;
  asm("mul.rn.bf16x2 %0, %1, %2;" : "=r"(d) : "r"(a), "r"(b));
  return d;
}
__device__ __forceinline__ uint32_t bf16_fma(uint32_t a, uint32_t b, uint32_t c) {
  uint32_t d;
  asm("fma.rn.bf16x2 %0, %1, %2, %3;" : "=r"(d) : "r"(a), "r"(b), "r"(c));
  return d;
}
// The lower or the upper 2-byte element, twice.
__device__ __forceinline__ uint32_t twice_low(uint32_t v) {
  uint32_t d;
  asm("{\n.reg .b16 low, high;\nmov.b32 {low, high}, %1;\nmov.b32 %0, {low, low};\n}" : "=r"(d) : "r"(v));
  return d;
}
__device__ __forceinline__ uint32_t twice_high(uint32_t v) {
  uint32_t d;
  asm("{\n.reg .b16 low, high;\nmov.b32 {low, high}, %1;\nmov.b32 %0, {high, high};\n}" : "=r"(d) : "r"(v));
  return d;
}

// (v & mask) | bits: one instruction.
__device__ __forceinline__ uint32_t and_or(uint32_t v, uint32_t mask, uint32_t bits) {
  uint32_t d;
  asm("lop3.b32 %0, %1, %2, %3, 0xea;" : "=r"(d) : "r"(v), "r"(mask), "r"(bits));
  return d;
}

// Place of an input in a lane's words. half: of its step of 16 inputs; element: of its pair.
struct InputPlace {
  int lane, step, half, element;
  __device__ __forceinline__ explicit InputPlace(int input)
      : lane(input % 8 / 2), step(input / 16), half(input % 16 / 8), element(input % 2) {}
};

// --- 8-bit integers: value = scale * code ---
// Codes are kept with 128 added. Byte b of a word becomes the float 2^15 + code + 128 by one prmt. The multiply-add
// that follows is exact: an f16 scale has 11 bits, so 32896 times it has 20.
struct I8Cell {
  static constexpr Cell kCell = Cell::kI8;
  static constexpr float kFactor = 1;
  static constexpr int kBytes = 1024 + 64, kScales = 1024;

  struct Words {
    uint4 codes[2];
    uint2 scales;  // of inputs 0 to 31, 32 to 63; of rows l / 4 and + 8
  };
  __device__ __forceinline__ static Words load(const uint8_t* cell) {
    const int lane = threadIdx.x % kWarp;
    const auto* const codes = reinterpret_cast<const uint4*>(cell);
    return {{codes[lane], codes[kWarp + lane]}, reinterpret_cast<const uint2*>(cell + kScales)[lane / 4]};
  }
  template <int kByte>
  __device__ __forceinline__ static float value(uint32_t codes, float scale, float offset) {
    return fmaf(__uint_as_float(__byte_perm(codes, 0x47000000u, 0x7404 | kByte << 4)), scale, offset);
  }
  __device__ __forceinline__ static void pairs(uint32_t codes, float scale, uint32_t& low, uint32_t& high) {
    const float offset = -32896.0f * scale;
    low = two_bf16(value<0>(codes, scale, offset), value<1>(codes, scale, offset));
    high = two_bf16(value<2>(codes, scale, offset), value<3>(codes, scale, offset));
  }
  template <int kStep>
  __device__ __forceinline__ static void fragments(const Words& w, uint32_t (&a)[4]) {
    const uint32_t both = kStep < 2 ? w.scales.x : w.scales.y;
    const __half2 scales = *reinterpret_cast<const __half2*>(&both);
    const uint4& codes = w.codes[kStep / 2];
    pairs(kStep % 2 == 0 ? codes.x : codes.z, __low2float(scales), a[0], a[2]);
    pairs(kStep % 2 == 0 ? codes.y : codes.w, __high2float(scales), a[1], a[3]);
  }

  // Of one code in the cell.
  __device__ __forceinline__ static int place(int row, int input) {
    const InputPlace p(input);
    return p.step / 2 * 512 + (row % 8 * 4 + p.lane) * 16 + (p.step % 2 * 2 + row / 8) * 4 + p.half * 2 + p.element;
  }
  __device__ __forceinline__ static int place_of_scale(int row, int block) {
    return kScales + row % 8 * 8 + block * 4 + row / 8 * 2;
  }
};

// A pair of 4-bit codes in the low bits of both halves of a word, plus 128 as bf16.
template <int kNibble>
__device__ __forceinline__ uint32_t nibbles_plus_128(uint32_t codes) {
  return and_or(codes >> (4 * kNibble), 0x000f000fu, 0x43004300u);
}
// Place of a 4-bit code: byte, and nibble within it.
struct NibblePlace {
  int byte, nibble;
  __device__ __forceinline__ NibblePlace(int row, int input) {
    const InputPlace p(input);
    byte = (row % 8 * 4 + p.lane) * 16 + p.step * 4 + p.element * 2 + row / 8;
    nibble = p.half;
  }
};

// --- 4-bit integers: value = scale * code + minimum ---

// The four lowest bits of a bf16 are subnormal: a code there is the number code 2^-133. So is one in the next four bits
// 2^-129 times the code, for bit 7 is the exponent's lowest. One AND makes two codes, one multiply-add their values.
// A value has a factor of 2^-13, so that the scale, 2^116 times as large, stays finite below 2^8.
struct U4Cell {
  static constexpr Cell kCell = Cell::kU4;
  static constexpr int kBytes = 512 + 128, kScales = 512;
  static constexpr float kFactor = 0x1p13f;
  static constexpr float kRaised = 0x1p116f, kScaleMax = 0x1.fep7f;

  struct Words {
    uint4 codes;
    uint4 scales;  // scale and minimum of: row l / 4, + 8 of inputs 0 to 31; the same of 32 to 63
  };
  __device__ __forceinline__ static Words load(const uint8_t* cell) {
    const int lane = threadIdx.x % kWarp;
    return {reinterpret_cast<const uint4*>(cell)[lane], reinterpret_cast<const uint4*>(cell + kScales)[lane / 4]};
  }
  // In both halves' lower byte: codes of inputs 0 to 7 of a step, then those of 8 to 15.
  __device__ __forceinline__ static void values(uint32_t codes, uint32_t of_row, uint32_t& low, uint32_t& high) {
    constexpr uint32_t kTimes16 = 4 << 7;  // of a bf16 in the lower half
    const uint32_t minimum = twice_high(of_row);
    low = bf16_fma(codes & 0x000f000fu, twice_low(of_row + kTimes16), minimum);
    high = bf16_fma(codes & 0x00f000f0u, twice_low(of_row), minimum);
  }
  template <int kStep>
  __device__ __forceinline__ static void fragments(const Words& w, uint32_t (&a)[4]) {
    const uint32_t codes = kStep == 0 ? w.codes.x : kStep == 1 ? w.codes.y : kStep == 2 ? w.codes.z : w.codes.w;
    values(codes, kStep < 2 ? w.scales.x : w.scales.z, a[0], a[2]);
    values(codes >> 8, kStep < 2 ? w.scales.y : w.scales.w, a[1], a[3]);
  }

  __device__ __forceinline__ static int place_of_scale(int row, int block) {
    return kScales + row % 8 * 16 + block * 8 + row / 8 * 4;
  }
};

// --- 6-bit integers: value = scale * (code - 32) ---

// Low nibbles as above. A byte has the upper two bits of four inputs of a row, eight apart.
struct U6Cell {
  static constexpr Cell kCell = Cell::kU6;
  static constexpr float kFactor = 1;
  static constexpr int kBytes = 512 + 256 + 128, kUpper = 512, kScales = 768;

  struct Words {
    uint4 low;
    uint2 upper;   // of inputs 0 to 31, 32 to 63
    uint4 scales;  // of each 16 inputs: rows l / 4 and + 8
  };
  __device__ __forceinline__ static Words load(const uint8_t* cell) {
    const int lane = threadIdx.x % kWarp;
    return {reinterpret_cast<const uint4*>(cell)[lane], reinterpret_cast<const uint2*>(cell + kUpper)[lane],
            reinterpret_cast<const uint4*>(cell + kScales)[lane / 4]};
  }
  // kField: which two bits of each half of `upper`.
  template <int kNibble, int kField>
  __device__ __forceinline__ static uint32_t value(uint32_t low, uint32_t upper, uint32_t scale) {
    constexpr int kRight = 2 * kField - 4;
    const uint32_t moved = kRight >= 0 ? upper >> (kRight >= 0 ? kRight : 0) : upper << (kRight < 0 ? -kRight : 0);
    const uint32_t code = and_or(moved, 0x00300030u, nibbles_plus_128<kNibble>(low));
    return bf16_mul(bf16_sub(code, 0x43204320u), scale);  // 160
  }
  template <int kStep>
  __device__ __forceinline__ static void fragments(const Words& w, uint32_t (&a)[4]) {
    constexpr int kField = kStep % 2 * 2;
    const uint32_t low = kStep == 0 ? w.low.x : kStep == 1 ? w.low.y : kStep == 2 ? w.low.z : w.low.w;
    const uint32_t upper = kStep < 2 ? w.upper.x : w.upper.y;
    const uint32_t scales = kStep == 0 ? w.scales.x : kStep == 1 ? w.scales.y : kStep == 2 ? w.scales.z : w.scales.w;
    const uint32_t scale = twice_low(scales), other = twice_high(scales);
    a[0] = value<0, kField>(low, upper, scale);
    a[2] = value<1, kField + 1>(low, upper, scale);
    a[1] = value<2, kField + 4>(low, upper, other);
    a[3] = value<3, kField + 5>(low, upper, other);
  }

  // The byte that has the upper bits, and their shift in it.
  struct UpperPlace {
    int byte, shift;
    __device__ __forceinline__ UpperPlace(int row, int input) {
      const InputPlace p(input);
      byte = kUpper + (row % 8 * 4 + p.lane) * 8 + p.step / 2 * 4 + p.element * 2 + row / 8;
      shift = 2 * (p.step % 2 * 2 + p.half);
    }
  };
  __device__ __forceinline__ static int place_of_scale(int row, int step) {
    return kScales + row % 8 * 16 + step * 4 + row / 8 * 2;
  }
};

// --- E2M1: value = scale * code, the scale a power of two ---

// Sign, exponent and mantissa of a code are moved to a bf16's. That is the code times 2^-126, also where it is
// subnormal. The scale's exponent is raised by 126; scales above 2 become 2.
struct Fp4Cell {
  static constexpr Cell kCell = Cell::kFp4;
  static constexpr float kFactor = 1;
  static constexpr int kBytes = 512 + 32, kScales = 512;
  static constexpr int kScaleMax = 128;  // exponent byte of 2

  struct Words {
    uint4 codes;
    uint32_t scales;  // bytes: rows l / 4, + 8 of inputs 0 to 31; the same of 32 to 63
  };
  __device__ __forceinline__ static Words load(const uint8_t* cell) {
    const int lane = threadIdx.x % kWarp;
    return {reinterpret_cast<const uint4*>(cell)[lane], reinterpret_cast<const uint32_t*>(cell + kScales)[lane / 4]};
  }
  template <int kNibble>
  __device__ __forceinline__ static uint32_t value(uint32_t codes, uint32_t scale) {
    const uint32_t top = codes << (12 - 4 * kNibble);  // the sign at bit 15 of each half
    const uint32_t rest = (top >> 6) & 0x01c001c0u;
    return bf16_mul(and_or(top, 0x80008000u, rest), scale);
  }
  // The bf16 of a byte of `scales`, in both halves.
  template <int kByte>
  __device__ __forceinline__ static uint32_t scale_of(uint32_t scales) {
    const uint32_t both = __byte_perm(scales, 0, kByte | 0x40 | kByte << 8 | 0x4000);
    return (both + 0x007e007eu) << 7;
  }
  template <int kStep>
  __device__ __forceinline__ static void fragments(const Words& w, uint32_t (&a)[4]) {
    const uint32_t codes = kStep == 0 ? w.codes.x : kStep == 1 ? w.codes.y : kStep == 2 ? w.codes.z : w.codes.w;
    const uint32_t scale = scale_of<kStep / 2 * 2>(w.scales), other = scale_of<kStep / 2 * 2 + 1>(w.scales);
    a[0] = value<0>(codes, scale), a[2] = value<1>(codes, scale);
    a[1] = value<2>(codes, other), a[3] = value<3>(codes, other);
  }

  __device__ __forceinline__ static int place_of_scale(int row, int block) {
    return kScales + row % 8 * 4 + block * 2 + row / 8;
  }
};

// --- E4M3: value = scale * code ---

// Sign, exponent and mantissa of a code are moved to a bf16's. That is the code times 2^-120, also where it is
// subnormal. Scales are kept 2^120 times as large; they are below 2^8. The code of NaN becomes 480.
struct Fp8Cell {
  static constexpr Cell kCell = Cell::kFp8;
  static constexpr float kFactor = 1;
  static constexpr int kBytes = 1024 + 64, kScales = 1024;
  static constexpr float kRaised = 0x1p120f, kScaleMax = 0x1.fep7f;

  struct Words {
    uint4 codes[2];
    uint2 scales;  // of inputs 0 to 31, 32 to 63; of rows l / 4 and + 8
  };
  __device__ __forceinline__ static Words load(const uint8_t* cell) {
    const int lane = threadIdx.x % kWarp;
    const auto* const codes = reinterpret_cast<const uint4*>(cell);
    return {{codes[lane], codes[kWarp + lane]}, reinterpret_cast<const uint2*>(cell + kScales)[lane / 4]};
  }
  // The codes in the upper byte of both halves.
  __device__ __forceinline__ static uint32_t value(uint32_t codes, uint32_t scale) {
    return bf16_mul(and_or(codes, 0x80008000u, (codes >> 4) & 0x07f007f0u), scale);
  }
  template <int kStep>
  __device__ __forceinline__ static void fragments(const Words& w, uint32_t (&a)[4]) {
    const uint32_t scales = kStep < 2 ? w.scales.x : w.scales.y;
    const uint32_t scale = twice_low(scales), other_scale = twice_high(scales);
    const uint4& of_both = w.codes[kStep / 2];
    const uint32_t codes = kStep % 2 == 0 ? of_both.x : of_both.z, other = kStep % 2 == 0 ? of_both.y : of_both.w;
    a[0] = value(codes << 8, scale), a[2] = value(codes, scale);
    a[1] = value(other << 8, other_scale), a[3] = value(other, other_scale);
  }

  // Of one code: a pair's elements lie in different halves of a word.
  __device__ __forceinline__ static int place(int row, int input) {
    const InputPlace p(input);
    return p.step / 2 * 512 + (row % 8 * 4 + p.lane) * 16 + (p.step % 2 * 2 + row / 8) * 4 + p.element * 2 + p.half;
  }
  __device__ __forceinline__ static int place_of_scale(int row, int block) {
    return kScales + row % 8 * 8 + block * 4 + row / 8 * 2;
  }
};

static_assert(Fp8Cell::kBytes == cell_bytes(Cell::kFp8));
static_assert(I8Cell::kBytes == cell_bytes(Cell::kI8) && U4Cell::kBytes == cell_bytes(Cell::kU4));
static_assert(U6Cell::kBytes == cell_bytes(Cell::kU6) && Fp4Cell::kBytes == cell_bytes(Cell::kFp4));

}  // namespace polymath::backend::cuda
