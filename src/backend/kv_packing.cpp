#include "backend/kv_packing.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

#include "base/check.h"
#include "quant/fp8.h"

namespace polymath::backend {
namespace {

using tensor::DType;

// E5M2 is the upper half of f16. To the nearest value, of two to the even one; 57344 is the largest.
uint8_t f32_to_e5m2(float v) {
  constexpr uint32_t kLargest = 0x7b;
  const uint32_t half = tensor::f32_to_f16(v), sign = half >> 8 & 0x80u, magnitude = half & 0x7fffu;
  const uint32_t rounded = (magnitude + 0x7fu + (magnitude >> 8 & 1u)) >> 8;
  return static_cast<uint8_t>(sign | std::min(rounded, kLargest));
}
float e5m2_to_f32(uint8_t code) { return tensor::f16_to_f32(static_cast<uint16_t>(code << 8)); }

constexpr float kInt8Largest = 127;
uint8_t f32_to_int8(float v) {
  return static_cast<uint8_t>(static_cast<int8_t>(std::clamp(std::nearbyint(v), -kInt8Largest, kInt8Largest)));
}
float int8_to_f32(uint8_t code) { return static_cast<int8_t>(code); }

constexpr KvCodec kCodecs[] = {{},
                               {quant::kE4m3Largest, quant::f32_to_e4m3, quant::e4m3_to_f32},
                               {57344, f32_to_e5m2, e5m2_to_f32},
                               {kInt8Largest, f32_to_int8, int8_to_f32}};

struct Named {
  std::string_view name;
  KvType type;
};
constexpr Named kNames[] = {
    {"float32", {DType::kF32, KvPacking::kNone}},   {"bfloat16", {DType::kBf16, KvPacking::kNone}},
    {"fp8_e4m3", {DType::kBf16, KvPacking::kE4M3}}, {"fp8_e5m2", {DType::kBf16, KvPacking::kE5M2}},
    {"int8", {DType::kBf16, KvPacking::kInt8}},     {"fp8", {DType::kBf16, KvPacking::kE4M3}}};

}  // namespace

std::string_view KvType::name() const {
  for (const Named& named : kNames) {
    if (named.type.dtype == dtype && named.type.packing == packing) return named.name;
  }
  return tensor::dtype_name(dtype);
}

std::optional<KvType> KvType::named(std::string_view name) {
  for (const Named& named : kNames) {
    if (named.name == name) return named.type;
  }
  return std::nullopt;
}

const KvCodec& kv_codec(KvPacking packing) {
  CHECK(packing != KvPacking::kNone);
  return kCodecs[static_cast<int>(packing)];
}

float kv_scale(float largest_magnitude, const KvCodec& codec) {
  if (!std::isfinite(largest_magnitude)) return std::numeric_limits<float>::quiet_NaN();
  return largest_magnitude / codec.largest;
}

}  // namespace polymath::backend
