#pragma once

// How a KV cache keeps keys and values in one byte an element.
//
// The elements of a token's head share an f32 scale, its key and its value each one: element = scale * code. The scale
// maps the largest magnitude to the largest code, and is computed when the token is written.
// Source of the 8-bit floats: the OCP specification OFP8, version 1.0.

#include <cstdint>
#include <optional>
#include <string_view>

#include "tensor/tensor.h"

namespace polymath::backend {

enum class KvPacking : uint8_t { kNone, kE4M3, kE5M2, kInt8 };

// What --kv-cache-dtype says. Packed elements are unpacked to `dtype`, bf16, for attention.
struct KvType {
  tensor::DType dtype = tensor::DType::kF32;  // f32 or bf16
  KvPacking packing = KvPacking::kNone;

  std::string_view name() const;                              // "bfloat16", "fp8_e4m3"
  static std::optional<KvType> named(std::string_view name);  // also "fp8", which is fp8_e4m3
};

struct KvCodec {
  float largest = 0;                         // the largest value of a code
  uint8_t (*encode)(float value) = nullptr;  // REQUIRES: |value| <= largest, but for rounding
  float (*decode)(uint8_t code) = nullptr;   // exact in bf16
};
const KvCodec& kv_codec(KvPacking packing);  // REQUIRES: not kNone

// Of a token's head. 0: all of its elements are. NaN: one of them is, or is infinite.
float kv_scale(float largest_magnitude, const KvCodec& codec);

}  // namespace polymath::backend
