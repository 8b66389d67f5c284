#include "backend/cpu/kernels/table.h"

namespace polymath::backend::cpu {

const Kernels& portable_kernels() {
  static const Kernels kernels = make_table("portable");
  return kernels;
}

}  // namespace polymath::backend::cpu
