#pragma once

// Scales for a group of values that become small integers: those of the least squared error, of a few tried.
// Sources: weighted least squares; the tried scales follow ggml-quants.c's idea of a search around the largest value.

#include <cstdint>
#include <span>

namespace polymath::quant {

// Errors of large values count more. `importance` multiplies what they count: the mean square of the input that each
// value meets; empty: 1.
inline constexpr int kFitValuesMax = 128;  // REQUIRES below: at most so many values

// value = scale * q with q in [-levels, levels - 1]. 0: all values are 0.
float fit_scale(std::span<const float> values, int levels, std::span<const float> importance = {});
// The same with a scale of 0 or more.
float fit_positive_scale(std::span<const float> values, int levels, std::span<const float> importance = {});

// value = scale * q - minimum with q in [0, levels] and minimum >= 0.
struct AffineFit {
  float scale = 0, minimum = 0;
};
AffineFit fit_affine(std::span<const float> values, int levels, std::span<const float> importance = {});

// round(value / scale), within [low, high]; 0 within them where the scale is 0.
int quantized(float value, float scale, int low, int high);

// Elements [begin, begin + n) of importance that may be absent.
inline std::span<const float> importance_of(const float* importance, int64_t begin, size_t n) {
  return importance == nullptr ? std::span<const float>() : std::span(importance + begin, n);
}

}  // namespace polymath::quant
