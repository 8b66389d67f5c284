#pragma once

// What ggml's packed formats share. A row is a run of blocks, and each block holds its own scales.
//
//   void decode(const std::byte* block, float* values);
//   extern const QuantFormat kQ4_0 = packed_blocks<32, 18, decode>("q4_0");
//
// Sources of these formats: ggml-common.h (the blocks) and ggml-quants.c (their rounding).

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "quant/format.h"

namespace polymath::quant {

constexpr int kSuperBlock = 256;  // values of a block of a K- or I-quant

inline uint8_t byte_at(const std::byte* block, int i) { return static_cast<uint8_t>(block[i]); }
inline uint16_t word_at(const std::byte* block, int i) {
  uint16_t word;
  std::memcpy(&word, block + i, sizeof(word));
  return word;
}
inline uint32_t long_at(const std::byte* block, int i) {
  uint32_t word;
  std::memcpy(&word, block + i, sizeof(word));
  return word;
}
inline float half_at(const std::byte* block, int i) { return tensor::f16_to_f32(word_at(block, i)); }

template <int kValues, int kBytes, void (*kDecode)(const std::byte*, float*)>
void dequantize_blocks(const PackedRow& row, int64_t col, float* dst, int64_t n) {
  const std::byte* block = row.data + col / kValues * kBytes;
  for (int64_t i = 0; i < n; i += kValues, block += kBytes) kDecode(block, dst + i);
}

template <int kValues, int kBytes, void (*kDecode)(const std::byte*, float*)>
constexpr QuantFormat packed_blocks(std::string_view name,
                                    void (*quantize)(const float*, std::byte*, int64_t) = nullptr) {
  return {.name = name,
          .dtype = tensor::DType::kU8,
          .block_cols = kValues,
          .block_bytes = kBytes,
          .scales = {},
          .zeros = {},
          .dequantize = dequantize_blocks<kValues, kBytes, kDecode>,
          .quantize = quantize};
}

// Scales of 256 values as Q6_K has them. A value is d times a scale times an integer in [-32, 31].
struct SixBitBlock {
  float d = 0;
  int8_t scales[16] = {};
};
void write_q6_k(const SixBitBlock& block, const float* values, std::byte* dst);
extern const QuantFormat kQ4_0, kQ6K;

template <int kBytes, void (*kDecode)(const std::byte*, float*), SixBitBlock (*kScales)(const std::byte*)>
void widen_to_q6_k(const std::byte* src, std::byte* dst, int64_t n) {
  float values[kSuperBlock];
  for (int64_t i = 0; i < n; i += kSuperBlock, src += kBytes, dst += kQ6K.block_bytes) {
    kDecode(src, values);
    write_q6_k(kScales(src), values, dst);
  }
}

template <int kBytes, void (*kDecode)(const std::byte*, float*), SixBitBlock (*kScales)(const std::byte*)>
constexpr QuantFormat super_blocks_of_six_bits(std::string_view name) {
  QuantFormat format = packed_blocks<kSuperBlock, kBytes, kDecode>(name);
  format.wider = &kQ6K;
  format.widen = widen_to_q6_k<kBytes, kDecode, kScales>;
  return format;
}

// Packers of weighted.h's table. Without importance (null), large values count more.
void pack_q4_0(const float* src, const float* importance, std::byte* dst, int64_t n);
void pack_q5_0(const float* src, const float* importance, std::byte* dst, int64_t n);
void pack_q4_k(const float* src, const float* importance, std::byte* dst, int64_t n);
void pack_q5_k(const float* src, const float* importance, std::byte* dst, int64_t n);
void pack_q6_k(const float* src, const float* importance, std::byte* dst, int64_t n);

template <void (*kPack)(const float*, const float*, std::byte*, int64_t)>
void unweighted(const float* src, std::byte* dst, int64_t n) {
  kPack(src, nullptr, dst, n);
}

}  // namespace polymath::quant
