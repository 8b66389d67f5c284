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

}  // namespace

int quantized(float value, float scale, int low, int high) {
  if (scale == 0) return std::clamp(0, low, high);
  return static_cast<int>(std::clamp(std::round(value / scale), static_cast<float>(low), static_cast<float>(high)));
}

float fit_scale(std::span<const float> values, int levels) {
  CHECK(values.size() <= kFitValuesMax);
  float extreme = 0;
  for (const float v : values) {
    if (std::abs(v) > std::abs(extreme)) extreme = v;
  }
  if (extreme == 0) return 0;
  double best = -1;
  float best_scale = 0;
  for (int i = -kTries; i <= kTries; ++i) {
    const float tried = extreme / (-static_cast<float>(levels) + kTryStep * static_cast<float>(i));
    double products = 0, squares = 0;
    for (const float v : values) {
      const double q = quantized(v, tried, -levels, levels - 1), weight = static_cast<double>(v) * v;
      products += weight * v * q;
      squares += weight * q * q;
    }
    if (squares == 0 || products * products <= best * squares) continue;
    best = products * products / squares;
    best_scale = static_cast<float>(products / squares);
  }
  return best_scale;
}

AffineFit fit_affine(std::span<const float> values, int levels) {
  CHECK(values.size() <= kFitValuesMax);
  const auto [low_at, high_at] = std::minmax_element(values.begin(), values.end());
  const float low = std::min(*low_at, 0.0f), range = std::max(*high_at, 0.0f) - low;
  double squares = 0;
  for (const float v : values) squares += static_cast<double>(v) * v;
  const double mean = std::sqrt(squares / static_cast<double>(values.size()));
  if (range == 0) return {};
  AffineFit best;
  double best_error = -1;
  for (int i = 0; i <= kAffineTries; ++i) {
    const float share = kAffineNarrowest + (1 - kAffineNarrowest) * static_cast<float>(i) / kAffineTries;
    const float scale = share * range / static_cast<float>(levels);
    Sums sums;
    for (const float v : values) sums.add(mean + std::abs(v), quantized(v - low, scale, 0, levels), v);
    const AffineFit fit = solve(sums);
    const double error = sums.error(fit.scale, fit.minimum);
    if (best_error >= 0 && error >= best_error) continue;
    best_error = error;
    best = fit;
  }
  return best;
}

}  // namespace polymath::quant
