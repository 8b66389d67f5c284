// The formats that stay packed, in the order of their cells. To add one: its block in repack_*.cu, then its line.

#include <cmath>
#include <cstring>

#include "backend/cuda/packed/packed.h"
#include "backend/cuda/packed/repack_ggml.h"
#include "backend/cuda/packed/repack_groups.h"

namespace polymath::backend::cuda {
namespace {

// As Fp4Cell::kScaleMax: the exponent byte of 2.
bool mxfp4_scale_fits(const uint8_t* block) {
  constexpr int kScaleMax = 128;
  return *block <= kScaleMax;
}

// As U4Cell::kScaleMax and Fp8Cell::kScaleMax. NaN does not fit.
constexpr float kScaleMax = 255;

bool f32_scale_fits(const uint8_t* block) {
  float scale;
  std::memcpy(&scale, block, sizeof(scale));
  return std::abs(scale) <= kScaleMax;
}

// The bits of positive f16 numbers are in the numbers' order, and NaN's are past all.
template <uint16_t kScaleBitsMax>
bool f16_scale_fits(const uint8_t* block) {
  uint16_t scale;
  std::memcpy(&scale, block, sizeof(scale));
  return (scale & 0x7fff) <= kScaleBitsMax;
}
constexpr uint16_t k255 = 0x5bf8, k4 = 0x4400;  // Q4_K multiplies its scale by 63 at most

}  // namespace

const PackedFormat* find_packed_format(std::string_view name) {
  static constexpr PackedFormat kFormats[] = {
      {"q8_0", Cell::kI8, repack_q8_0},
      {"q5_0", Cell::kI8, repack_q5_0},
      {"int8_g32", Cell::kI8, repack_int8_g32},
      {"int8_g128", Cell::kI8, repack_int8_g128},
      {"q4_0", Cell::kU4, repack_q4_0, f16_scale_fits<k255>},
      {"q4_k", Cell::kU4, repack_q4_k, f16_scale_fits<k4>},
      {"int4_g32", Cell::kU4, repack_int4_g32, f32_scale_fits},
      {"int4_g128", Cell::kU4, repack_int4_g128, f32_scale_fits},
      {"q6_k", Cell::kU6, repack_q6_k},
      {"mxfp4", Cell::kFp4, repack_mxfp4, mxfp4_scale_fits},
      {"fp8_g32", Cell::kFp8, repack_fp8_g32, f32_scale_fits},
      {"fp8_g128", Cell::kFp8, repack_fp8_g128, f32_scale_fits},
  };
  for (const PackedFormat& format : kFormats) {
    if (format.name == name) return &format;
  }
  return nullptr;
}

}  // namespace polymath::backend::cuda
