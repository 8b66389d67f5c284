#include "backend/cpu/kernels/table.h"

namespace polymath::backend::cpu {

const Kernels& avx2_kernels() {
  static const Kernels kernels = make_table("avx2");
  return kernels;
}

}  // namespace polymath::backend::cpu
