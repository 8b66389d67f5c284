#include "layers/rope.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace polymath::layers {
namespace {

// The pair whose wavelength makes `rotations` turns over the original context (YaRN, section 3.2).
double correction_dim(const RopeConfig& r, double rotations) {
  return r.dims * std::log(r.original_len / (rotations * 2 * std::numbers::pi)) / (2 * std::log(r.theta));
}

std::vector<double> yarn(const RopeConfig& r, std::vector<double> plain) {
  double low = correction_dim(r, r.beta_fast), high = correction_dim(r, r.beta_slow);
  if (r.truncate) {
    low = std::floor(low);
    high = std::ceil(high);
  }
  low = std::max(low, 0.0);
  high = std::min(high, r.dims - 1.0);
  if (low == high) high += 0.001;
  for (size_t i = 0; i < plain.size(); ++i) {
    const double ramp = std::clamp((static_cast<double>(i) - low) / (high - low), 0.0, 1.0);
    plain[i] = plain[i] / r.factor * ramp + plain[i] * (1 - ramp);
  }
  return plain;
}

std::vector<double> llama3(const RopeConfig& r, std::vector<double> plain) {
  const double low_wavelength = r.original_len / r.low_freq_factor,
               high_wavelength = r.original_len / r.high_freq_factor;
  for (double& f : plain) {
    const double wavelength = 2 * std::numbers::pi / f;
    if (wavelength > low_wavelength) {
      f /= r.factor;
    } else if (wavelength > high_wavelength) {
      const double smooth =
          (r.original_len / wavelength - r.low_freq_factor) / (r.high_freq_factor - r.low_freq_factor);
      f = (1 - smooth) * f / r.factor + smooth * f;
    }
  }
  return plain;
}

bool is_long(const RopeConfig& r, int model_len) { return r.original_len > 0 && model_len > r.original_len; }

}  // namespace

double yarn_mscale(double factor, double mscale) { return factor <= 1 ? 1.0 : 0.1 * mscale * std::log(factor) + 1.0; }

std::vector<double> rope_frequencies(const RopeConfig& r, int model_len, int positions_max) {
  double theta = r.theta;
  if (r.scaling == RopeScaling::kDynamic && model_len > positions_max) {
    theta *= std::pow(r.factor * model_len / positions_max - (r.factor - 1), r.dims / (r.dims - 2.0));
  }
  std::vector<double> f(r.dims / 2);
  for (size_t i = 0; i < f.size(); ++i) f[i] = std::pow(theta, -2.0 * static_cast<double>(i) / r.dims);
  switch (r.scaling) {
    case RopeScaling::kLinear:
      for (double& v : f) v /= r.factor;
      return f;
    case RopeScaling::kLlama3:
      return llama3(r, f);
    case RopeScaling::kYarn:
      return yarn(r, f);
    case RopeScaling::kLongRope: {
      const auto& factors = is_long(r, model_len) ? r.long_factor : r.short_factor;
      for (size_t i = 0; i < f.size(); ++i) f[i] /= factors[i];
      return f;
    }
    case RopeScaling::kNone:
    case RopeScaling::kDynamic:
    case RopeScaling::kCount:
      return f;
  }
  return f;
}

double rope_attention_factor(const RopeConfig& r, int model_len, int positions_max) {
  if (r.scaling == RopeScaling::kYarn) {
    if (r.attention_factor > 0) return r.attention_factor;
    if (r.mscale > 0 && r.mscale_all_dim > 0)
      return yarn_mscale(r.factor, r.mscale) / yarn_mscale(r.factor, r.mscale_all_dim);
    return yarn_mscale(r.factor, 1);
  }
  if (r.scaling == RopeScaling::kLongRope) {
    const double own = is_long(r, model_len) ? r.long_mscale : r.short_mscale;
    if (own > 0) return own;
    if (r.attention_factor > 0) return r.attention_factor;
    const double factor = r.factor > 1 ? r.factor : static_cast<double>(positions_max) / r.original_len;
    return factor <= 1 ? 1.0 : std::sqrt(1 + std::log(factor) / std::log(r.original_len));
  }
  return 1;
}

std::vector<float> rope_table(const RopeConfig& r, int model_len, int positions_max) {
  const std::vector<double> f = rope_frequencies(r, model_len, positions_max);
  const double factor = rope_attention_factor(r, model_len, positions_max);
  std::vector<float> table(rope_table_elements(r, model_len));
  float* out = table.data();
  for (int position = 0; position < model_len; ++position) {
    for (const double frequency : f) {
      // The models were trained with the angle rounded to f32.
      const double angle = static_cast<float>(position) * static_cast<float>(frequency);
      *out++ = static_cast<float>(std::cos(angle) * factor);
      *out++ = static_cast<float>(std::sin(angle) * factor);
    }
  }
  return table;
}

}  // namespace polymath::layers
