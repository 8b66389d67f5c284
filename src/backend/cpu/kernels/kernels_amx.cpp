#include "backend/cpu/kernels/amx_int8.h"
#include "backend/cpu/kernels/amx_tile.h"
#include "backend/cpu/kernels/table.h"

namespace polymath::backend::cpu {
namespace {

// As weight_table(), with AMX for bf16.
std::span<const WeightKernels> amx_weights() {
  static const WeightKernels table[] = {
      weight_kernels<F32Weights, PlainLayout<F32Weights>>(),
      weight_kernels<F16Weights, PlainLayout<F16Weights>>(),
      amx_weight_kernels(),
  };
  return table;
}

std::span<const WeightKernels> amx_caches() {
  static const WeightKernels table[] = {
      weight_kernels<F32Weights, PlainLayout<F32Weights>>(),
      amx_cache_kernels(),
  };
  return table;
}

double multiply_amx(DType dtype, int64_t rounds) {
  return dtype == DType::kBf16 ? multiply_tiles(rounds) : multiply(dtype, rounds);
}

}  // namespace

const Kernels& amx_kernels() {
  static const Kernels kernels = [] {
    Kernels k = make_table("amx");
    k.weights = amx_weights();
    k.caches = amx_caches();
    k.packed_int8 = amx_int8_formats(KeptFormats{});
    k.multiply = multiply_amx;
    return k;
  }();
  return kernels;
}

}  // namespace polymath::backend::cpu
