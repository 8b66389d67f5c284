#include "commands/load/draw.h"

#include <cmath>
#include <numbers>

namespace polymath::commands::load {
namespace {

// The finaliser of SplitMix64 (Steele, Lea and Flood 2014): neighbouring inputs give unrelated outputs.
uint64_t mix(uint64_t x) {
  x += 0x9e3779b97f4a7c15u;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

}  // namespace

Draw::Draw(uint64_t seed, uint64_t stream) : engine_(mix(mix(seed) ^ stream)) {}

double Draw::uniform() { return static_cast<double>(engine_() >> 11) * 0x1p-53; }

int Draw::between(int low, int high) {
  const double width = static_cast<double>(high) - low + 1;
  return static_cast<int>(low + std::floor(uniform() * width));
}

double Draw::exponential() { return -std::log1p(-uniform()); }

double Draw::normal() {
  const double radius = std::sqrt(2 * exponential());
  return radius * std::cos(2 * std::numbers::pi * uniform());
}

// Marsaglia and Tsang 2000; a shape below 1 is drawn from shape + 1.
double Draw::gamma(double shape) {
  if (shape == 1) return exponential();
  if (shape < 1) return gamma(shape + 1) * std::pow(1 - uniform(), 1 / shape);
  const double d = shape - 1.0 / 3, c = 1 / std::sqrt(9 * d);
  while (true) {
    const double x = normal(), cube = 1 + c * x;
    if (cube <= 0) continue;
    const double v = cube * cube * cube;
    if (std::log1p(-uniform()) < x * x / 2 + d * (1 - v + std::log(v))) return d * v;
  }
}

}  // namespace polymath::commands::load
