#pragma once

// The packed formats that the CPU keeps, by use of their activations. To add one: its type beside, and its line in
// both.

#include <span>

#include "backend/cpu/kernels/formats/groups.h"
#include "backend/cpu/kernels/formats/k_quants.h"
#include "backend/cpu/kernels/formats/nibbles.h"
#include "backend/cpu/kernels/formats/q8_0.h"

namespace polymath::backend::cpu {
namespace {

template <typename... W>
struct PackedFormats {
  static std::span<const WeightKernels> exact() {
    static const WeightKernels table[] = {exact_kernels<W>()...};
    return table;
  }
  static std::span<const WeightKernels> int8() {
    static const WeightKernels table[] = {int8_kernels<W>()...};
    return table;
  }
};

using KeptFormats =
    PackedFormats<Q8_0Weights, Q4_0Weights, Q5_0Weights, Q4KWeights, Q5KWeights, Q6KWeights, Iq4NlWeights, Iq4XsWeights,
                  Mxfp4Weights, Int4Weights<32>, Int4Weights<128>, Int8Weights<32>, Int8Weights<128>, Fp8Weights<32>,
                  Fp8Weights<128>, Nvfp4Weights, Nf4Weights>;

}  // namespace
}  // namespace polymath::backend::cpu
