#pragma once

// Scales for a group of values that become small integers: those of the least squared error, of a few tried.
// Sources: weighted least squares; the tried scales follow ggml-quants.c's idea of a search around the largest value.

#include <cstdint>
#include <span>

namespace polymath::quant {

inline constexpr int kFitValuesMax = 32;  // REQUIRES below: at most so many values

// value = scale * q with q in [-levels, levels - 1]. Large values weigh more: by their squares. 0: all values are 0.
float fit_scale(std::span<const float> values, int levels);

// value = scale * q - minimum with q in [0, levels] and minimum >= 0.
struct AffineFit {
  float scale = 0, minimum = 0;
};
AffineFit fit_affine(std::span<const float> values, int levels);

// round(value / scale), within [low, high]; 0 within them where the scale is 0.
int quantized(float value, float scale, int low, int high);

}  // namespace polymath::quant
