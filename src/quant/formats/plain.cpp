// The unpacked element types: one value a block.

#include <cstring>

#include "quant/format.h"

namespace polymath::quant {
namespace {

template <typename Stored, float (*Load)(Stored)>
void load(const PackedRow& row, int64_t col, float* dst, int64_t n) {
  const std::byte* src = row.data + col * static_cast<int64_t>(sizeof(Stored));
  for (int64_t i = 0; i < n; ++i) {
    Stored v;
    std::memcpy(&v, src + i * sizeof(Stored), sizeof(Stored));
    dst[i] = Load(v);
  }
}

template <typename Stored, Stored (*Store)(float)>
void store(const float* src, std::byte* dst, int64_t n) {
  for (int64_t i = 0; i < n; ++i) {
    const Stored v = Store(src[i]);
    std::memcpy(dst + i * sizeof(Stored), &v, sizeof(Stored));
  }
}

template <typename Stored, float (*Load)(Stored), Stored (*Store)(float)>
constexpr QuantFormat plain(std::string_view name, tensor::DType dtype) {
  return {.name = name,
          .dtype = dtype,
          .block_bytes = sizeof(Stored),
          .scales = {},
          .zeros = {},
          .dequantize = load<Stored, Load>,
          .quantize = store<Stored, Store>};
}

float same(float v) { return v; }
float narrow(double v) { return static_cast<float>(v); }
double widen(float v) { return v; }

}  // namespace

const QuantFormat kF32 = plain<float, same, same>("float32", tensor::DType::kF32);
const QuantFormat kF16 = plain<uint16_t, tensor::f16_to_f32, tensor::f32_to_f16>("float16", tensor::DType::kF16);
const QuantFormat kF64 = plain<double, narrow, widen>("float64", tensor::DType::kF64);
const QuantFormat kBf16 = plain<uint16_t, tensor::bf16_to_f32, tensor::f32_to_bf16>("bfloat16", tensor::DType::kBf16);

}  // namespace polymath::quant
