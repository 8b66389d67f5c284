#include "backend/cpu/kernels/table.h"

namespace polymath::backend::cpu {

const Kernels& avx512_kernels() {
  static const Kernels kernels = make_table("avx512");
  return kernels;
}

}  // namespace polymath::backend::cpu
