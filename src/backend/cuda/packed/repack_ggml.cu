// ggml's blocks into cells; quant/formats defines them.

#include "backend/cuda/packed/repack.cuh"
#include "backend/cuda/packed/repack_ggml.h"

namespace polymath::backend::cuda {
namespace {

constexpr int kBlock = 32, kSuperBlock = 256;

// f16 scale, 32 signed bytes.
struct Q8_0Block {
  static constexpr Cell kCell = Cell::kI8;
  static constexpr int kInputs = kBlock, kBytes = 34;
  __device__ static void put(uint8_t* cell, int row, const uint8_t* blocks, int, int n) {
    for (int b = 0; b < n / kBlock; ++b, blocks += kBytes) {
      put_u16(cell + I8Cell::place_of_scale(row, b), u16_at(blocks));
      for (int k = 0; k < kBlock; ++k) cell[I8Cell::place(row, b * kBlock + k)] = blocks[2 + k] ^ 0x80;
    }
  }
};

// f16 scale, 32 bits of fifth bits, nibbles: code - 16.
struct Q5_0Block {
  static constexpr Cell kCell = Cell::kI8;
  static constexpr int kInputs = kBlock, kBytes = 22;
  __device__ static void put(uint8_t* cell, int row, const uint8_t* blocks, int, int n) {
    for (int b = 0; b < n / kBlock; ++b, blocks += kBytes) {
      put_u16(cell + I8Cell::place_of_scale(row, b), u16_at(blocks));
      for (int k = 0; k < kBlock; ++k) {
        const int low = blocks[6 + k % 16] >> (k / 16 * 4) & 15, fifth = blocks[2 + k / 8] >> (k % 8) & 1;
        cell[I8Cell::place(row, b * kBlock + k)] = static_cast<uint8_t>((low | fifth << 4) - 16 + 128);
      }
    }
  }
};

// f16 scale, nibbles: code - 8. Byte j has values j and j + 16.
struct Q4_0Block {
  static constexpr Cell kCell = Cell::kU4;
  static constexpr int kInputs = kBlock, kBytes = 18;
  __device__ static void put(uint8_t* cell, int row, const uint8_t* blocks, int, int n) {
    for (int b = 0; b < n / kBlock; ++b) {
      const float scale = half_at(blocks + b * kBytes);
      put_u4_scale(cell, row, b, scale, -8 * __bfloat162float(__float2bfloat16_rn(scale)));
    }
    put_nibbles(cell, row, n,
                [&](int k) { return blocks[k / kBlock * kBytes + 2 + k % 16] >> (k % kBlock / 16 * 4) & 15; });
  }
};

// f16 scales of scales and of minimums, 8 of each in 6 bits, nibbles.
struct Q4KBlock {
  static constexpr Cell kCell = Cell::kU4;
  static constexpr int kInputs = kSuperBlock, kBytes = 144;
  __device__ static void put(uint8_t* cell, int row, const uint8_t* block, int at, int) {
    const float d = half_at(block), dmin = half_at(block + 2);
    const uint8_t* const packed = block + 4;
    for (int b = 0; b < 2; ++b) {
      const int j = at / kBlock + b;
      const int scale = j < 4 ? packed[j] & 63 : (packed[j + 4] & 15) | packed[j - 4] >> 6 << 4;
      const int minimum = j < 4 ? packed[j + 4] & 63 : packed[j + 4] >> 4 | packed[j] >> 6 << 4;
      put_u4_scale(cell, row, b, d * static_cast<float>(scale), -dmin * static_cast<float>(minimum));
    }
    const uint8_t* const nibbles = block + 16 + at / 2;
    put_nibbles(cell, row, kCellCols, [&](int k) { return nibbles[k % kBlock] >> (k / kBlock * 4) & 15; });
  }
};

// Nibbles and upper two bits of 256 codes, 16 signed scales, their f16 scale.
struct Q6KBlock {
  static constexpr Cell kCell = Cell::kU6;
  static constexpr int kInputs = kSuperBlock, kBytes = 210;
  __device__ static void put(uint8_t* cell, int row, const uint8_t* block, int at, int) {
    const float d = half_at(block + 208);
    for (int step = 0; step < kCellCols / 16; ++step) {
      const auto scale = static_cast<int8_t>(block[192 + at / 16 + step]);
      put_u16(cell + U6Cell::place_of_scale(row, step), bf16_bits(d * static_cast<float>(scale)));
    }
    const auto code = [&](int k) {
      const int e = at + k, half = e / 128, part = e % 128 / 32, l = e % 32;
      const int low = block[half * 64 + part % 2 * 32 + l] >> (part / 2 * 4) & 15;
      return low | (block[128 + half * 32 + l] >> (2 * part) & 3) << 4;
    };
    put_nibbles(cell, row, kCellCols, [&](int k) { return code(k) & 15; });
    // A byte has the upper bits of inputs k, k + 8, k + 16 and k + 24 of one row.
    for (int k = 0; k < kCellCols; ++k) {
      if (k % 32 >= 8) continue;
      int bits = 0;
      for (int i = 0; i < 4; ++i) bits |= code(k + 8 * i) >> 4 << U6Cell::UpperPlace(row, k + 8 * i).shift;
      cell[U6Cell::UpperPlace(row, k).byte] = static_cast<uint8_t>(bits);
    }
  }
};

// An exponent byte, nibbles. Byte j has values j and j + 16.
struct Mxfp4Block {
  static constexpr Cell kCell = Cell::kFp4;
  static constexpr int kInputs = kBlock, kBytes = 17;
  __device__ static void put(uint8_t* cell, int row, const uint8_t* blocks, int, int n) {
    for (int b = 0; b < n / kBlock; ++b) {
      cell[Fp4Cell::place_of_scale(row, b)] =
          static_cast<uint8_t>(min(static_cast<int>(blocks[b * kBytes]), Fp4Cell::kScaleMax));
    }
    put_nibbles(cell, row, n,
                [&](int k) { return blocks[k / kBlock * kBytes + 1 + k % 16] >> (k % kBlock / 16 * 4) & 15; });
  }
};

}  // namespace

void repack_q8_0(const Repack& p, cudaStream_t stream) { repack<Q8_0Block>(p, stream); }
void repack_q5_0(const Repack& p, cudaStream_t stream) { repack<Q5_0Block>(p, stream); }
void repack_q4_0(const Repack& p, cudaStream_t stream) { repack<Q4_0Block>(p, stream); }
void repack_q4_k(const Repack& p, cudaStream_t stream) { repack<Q4KBlock>(p, stream); }
void repack_q6_k(const Repack& p, cudaStream_t stream) { repack<Q6KBlock>(p, stream); }
void repack_mxfp4(const Repack& p, cudaStream_t stream) { repack<Mxfp4Block>(p, stream); }

}  // namespace polymath::backend::cuda
