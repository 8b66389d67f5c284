#include "quant/formats/fit.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"

namespace polymath::quant {
namespace {

constexpr int kTries = 9;                  // to each side of the plain scale
constexpr float kTryStep = 0.1f;           // of a level, from one tried scale to the next
constexpr int kAffineTries = 16;           // scales of an affine fit
constexpr float kAffineNarrowest = 0.85f;  // of the range of values; narrower ranges cut off outliers

// Sums of a weighted fit of values by scale * q - minimum.
struct Sums {
  double w = 0, q = 0, qq = 0, x = 0, xq = 0, xx = 0;

  void add(double weight, double code, double value) {
    w += weight, q += weight * code, qq += weight * code * code;
    x += weight * value, xq += weight * value * code, xx += weight * value * value;
  }
  double error(double scale, double minimum) const {
    return scale * scale * qq + minimum * minimum * w + xx - 2 * scale * xq + 2 * minimum * x - 2 * scale * minimum * q;
  }
};

// The best scale and minimum for given codes.
AffineFit solve(const Sums& s) {
  const double determinant = s.w * s.qq - s.q * s.q;
  double scale = determinant > 0 ? (s.w * s.xq - s.q * s.x) / determinant : 0;
  double minimum = determinant > 0 ? (s.q * s.xq - s.qq * s.x) / determinant : 0;
  if (minimum < 0 || scale <= 0) {
    minimum = 0;
    scale = s.qq > 0 ? std::max(0.0, s.xq / s.qq) : 0;
  }
  return {static_cast<float>(scale), static_cast<float>(minimum)};
}

float extreme_of(std::span<const float> values) {
  CHECK(values.size() <= kFitValuesMax);
  float extreme = 0;
  for (const float v : values) {
    if (std::abs(v) > std::abs(extreme)) extreme = v;
  }
  return extreme;
}

double rms_of(std::span<const float> values) {
  double squares = 0;
  for (const float v : values) squares += static_cast<double>(v) * v;
  return std::sqrt(squares / static_cast<double>(values.size()));
}

// Tries scales. Each one's codes have a best scale of their own.
struct ScaleSearch {
  std::span<const float> values, importance;
  int levels = 0;
  double rms = 0;
  double best = -1;  // the part of the squares that the codes explain
  float best_scale = 0;

  void add(float tried) {
    double products = 0, squares = 0;
    for (size_t i = 0; i < values.size(); ++i) {
      const double v = values[i], q = quantized(values[i], tried, -levels, levels - 1);
      const double weight = importance.empty() ? v * v : importance[i] * (rms + std::abs(v));
      products += weight * v * q;
      squares += weight * q * q;
    }
    if (squares == 0 || products * products <= best * squares) return;
    best = products * products / squares;
    best_scale = static_cast<float>(products / squares);
  }
};

}  // namespace

int quantized(float value, float scale, int low, int high) {
  if (scale == 0) return std::clamp(0, low, high);
  return static_cast<int>(std::clamp(std::round(value / scale), static_cast<float>(low), static_cast<float>(high)));
}

float fit_scale(std::span<const float> values, int levels, std::span<const float> importance) {
  const float extreme = extreme_of(values);
  if (extreme == 0) return 0;
  ScaleSearch search{values, importance, levels, rms_of(values)};
  for (int i = -kTries; i <= kTries; ++i) {
    search.add(extreme / (-static_cast<float>(levels) + kTryStep * static_cast<float>(i)));
  }
  return search.best_scale;
}

float fit_positive_scale(std::span<const float> values, int levels, std::span<const float> importance) {
  const float largest = std::abs(extreme_of(values)), middle = static_cast<float>(levels) - 0.5f;
  if (largest == 0) return 0;
  ScaleSearch search{values, importance, levels, rms_of(values)};
  for (int i = -kTries; i <= kTries; ++i) search.add(largest / (middle + kTryStep * static_cast<float>(i)));
  return search.best_scale;
}

AffineFit fit_affine(std::span<const float> values, int levels, std::span<const float> importance) {
  CHECK(values.size() <= kFitValuesMax);
  const auto [low_at, high_at] = std::minmax_element(values.begin(), values.end());
  const float low = std::min(*low_at, 0.0f), range = std::max(*high_at, 0.0f) - low;
  const double mean = rms_of(values);
  if (range == 0) return {};
  AffineFit best;
  double best_error = -1;
  for (int i = 0; i <= kAffineTries; ++i) {
    const float share = kAffineNarrowest + (1 - kAffineNarrowest) * static_cast<float>(i) / kAffineTries;
    const float scale = share * range / static_cast<float>(levels);
    Sums sums;
    for (size_t j = 0; j < values.size(); ++j) {
      const float v = values[j];
      const double weight = (mean + std::abs(v)) * (importance.empty() ? 1 : importance[j]);
      sums.add(weight, quantized(v - low, scale, 0, levels), v);
    }
    const AffineFit fit = solve(sums);
    const double error = sums.error(fit.scale, fit.minimum);
    if (best_error >= 0 && error >= best_error) continue;
    best_error = error;
    best = fit;
  }
  return best;
}

}  // namespace polymath::quant
