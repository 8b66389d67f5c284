// The unpacked element types: one value a block.

#include <cstring>

#include "quant/format.h"

namespace polymath::quant {
namespace {

template <typename Stored, float (*Load)(Stored)>
void load(const std::byte* src, float* dst, int64_t n) {
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

float same(float v) { return v; }

}  // namespace

const QuantFormat kF32{"float32", 1, 4, tensor::DType::kF32, load<float, same>, store<float, same>};
const QuantFormat kF16{
    "float16", 1, 2, tensor::DType::kF16, load<uint16_t, tensor::f16_to_f32>, store<uint16_t, tensor::f32_to_f16>};
const QuantFormat kBf16{
    "bfloat16", 1, 2, tensor::DType::kBf16, load<uint16_t, tensor::bf16_to_f32>, store<uint16_t, tensor::f32_to_bf16>};

}  // namespace polymath::quant
