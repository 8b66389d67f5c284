#pragma once

// Random numbers without a state: a function of (seed, position, draw) alone. A request's samples do not depend on the
// batch, nor on preemption.
//
// Philox4x32-10: ten rounds over a 128-bit counter (position, draw) under a 64-bit key (the seed).
// Source: Salmon, Moraes, Dror, Shaw: "Parallel random numbers: as easy as 1, 2, 3", SC 2011.

#include <array>
#include <cstdint>

namespace polymath::engine {

std::array<uint32_t, 4> philox4x32(std::array<uint32_t, 4> counter, std::array<uint32_t, 2> key);

// In [0, 1), 53 random bits.
double uniform(uint64_t seed, uint64_t position, uint64_t draw = 0);

}  // namespace polymath::engine
