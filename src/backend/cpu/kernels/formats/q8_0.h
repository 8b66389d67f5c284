#pragma once

#include "backend/cpu/kernels/packed.h"

namespace polymath::backend::cpu {
namespace {

// f16 scale, 32 signed bytes.
struct Q8_0Weights {
  static constexpr std::string_view kFormat = "q8_0";
  static constexpr int kInputs = 32, kFileBytes = 34, kScaleInputs = 32, kZero = 0, kSums = 1;
  static constexpr bool kSigned = true, kMinimum = false;
  static constexpr Field kFields[] = {{0, 2, 1}, {2, 4, 8}};

  struct Block {
    F32 d;
    INLINE Block() = default;
    INLINE explicit Block(const At& at) : d(at.half(0)) {}
  };
  static INLINE F32 scale(const Block& block, const At&, int) { return block.d; }
  static INLINE void quads(const At& at, int, U32* out) {
#pragma GCC unroll 8
    for (int q = 0; q < kPartQuads; ++q) out[q] = at.word(2, q);
  }
};

}  // namespace
}  // namespace polymath::backend::cpu
