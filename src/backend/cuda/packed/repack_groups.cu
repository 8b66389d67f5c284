// Groups of Hugging Face's schemes into cells; quant/formats/groups.cpp defines them. Blocks begin with an f32 scale.

#include "backend/cuda/packed/repack.cuh"
#include "backend/cuda/packed/repack_groups.h"

namespace polymath::backend::cuda {
namespace {

constexpr int kPart = 32;  // inputs of a cell that share its scale

__device__ float float_at(const uint8_t* p) {
  return __uint_as_float(p[0] | p[1] << 8 | p[2] << 16 | static_cast<uint32_t>(p[3]) << 24);
}

// Blocks of kInputs_ values: a part of a cell lies in one of them.
template <int kInputs_, int kHeadBytes, int kCodeBits>
struct Group {
  static constexpr int kInputs = kInputs_, kBytes = kHeadBytes + kInputs * kCodeBits / 8;
  // Of the part's values; `at`: the cell's first input in the first of `blocks`.
  struct Part {
    const uint8_t *block, *codes;
    __device__ Part(const uint8_t* blocks, int at, int part) {
      const int first = at + part * kPart;
      block = blocks + first / kInputs * kBytes;
      codes = block + kHeadBytes + first % kInputs * kCodeBits / 8;
    }
  };
};

// Zero point; nibbles in parts of 32, byte j of which has values j and j + 16.
template <int kInputs>
struct Int4Block : Group<kInputs, 5, 4> {
  static constexpr Cell kCell = Cell::kU4;
  using Part = typename Group<kInputs, 5, 4>::Part;
  __device__ static void put(uint8_t* cell, int row, const uint8_t* blocks, int at, int n) {
    for (int p = 0; p < n / kPart; ++p) {
      const Part part(blocks, at, p);
      const float scale = __bfloat162float(__float2bfloat16_rn(float_at(part.block)));
      put_u4_scale(cell, row, p, scale, -scale * static_cast<float>(part.block[4]));
    }
    put_nibbles(cell, row, n,
                [&](int k) { return Part(blocks, at, k / kPart).codes[k % 16] >> (k % kPart / 16 * 4) & 15; });
  }
};

template <int kInputs>
struct Int8Block : Group<kInputs, 4, 8> {
  static constexpr Cell kCell = Cell::kI8;
  using Part = typename Group<kInputs, 4, 8>::Part;
  __device__ static void put(uint8_t* cell, int row, const uint8_t* blocks, int at, int n) {
    for (int p = 0; p < n / kPart; ++p) {
      const Part part(blocks, at, p);
      put_u16(cell + I8Cell::place_of_scale(row, p), __half_as_ushort(__float2half_rn(float_at(part.block))));
      for (int k = 0; k < kPart; ++k) cell[I8Cell::place(row, p * kPart + k)] = part.codes[k] ^ 0x80;
    }
  }
};

template <int kInputs>
struct Fp8Block : Group<kInputs, 4, 8> {
  static constexpr Cell kCell = Cell::kFp8;
  using Part = typename Group<kInputs, 4, 8>::Part;
  __device__ static void put(uint8_t* cell, int row, const uint8_t* blocks, int at, int n) {
    for (int p = 0; p < n / kPart; ++p) {
      const Part part(blocks, at, p);
      const float scale = fminf(float_at(part.block), Fp8Cell::kScaleMax) * Fp8Cell::kRaised;
      put_u16(cell + Fp8Cell::place_of_scale(row, p), bf16_bits(scale));
      for (int k = 0; k < kPart; ++k) cell[Fp8Cell::place(row, p * kPart + k)] = part.codes[k];
    }
  }
};

}  // namespace

void repack_int4_g32(const Repack& p, cudaStream_t stream) { repack<Int4Block<32>>(p, stream); }
void repack_int4_g128(const Repack& p, cudaStream_t stream) { repack<Int4Block<128>>(p, stream); }
void repack_int8_g32(const Repack& p, cudaStream_t stream) { repack<Int8Block<32>>(p, stream); }
void repack_int8_g128(const Repack& p, cudaStream_t stream) { repack<Int8Block<128>>(p, stream); }
void repack_fp8_g32(const Repack& p, cudaStream_t stream) { repack<Fp8Block<32>>(p, stream); }
void repack_fp8_g128(const Repack& p, cudaStream_t stream) { repack<Fp8Block<128>>(p, stream); }

}  // namespace polymath::backend::cuda
