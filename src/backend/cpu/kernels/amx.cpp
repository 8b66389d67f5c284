// Whether this process may use AMX.

#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "backend/cpu/kernels/kernels.h"

namespace polymath::backend::cpu {
namespace {

// Linux: arch/x86/include/uapi/asm/prctl.h, and the number of the XSAVE component that holds the tiles.
constexpr int kRequestPermission = 0x1023, kTileData = 18;

// CPUID leaf 7: AMX-BF16 is bit 22 of EDX, AMX-TILE bit 24, AMX-INT8 bit 25.
bool cpu_has_tiles() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  if (__get_cpuid_count(7, 0, &a, &b, &c, &d) == 0) return false;
  constexpr unsigned kNeeded = 1u << 22 | 1u << 24 | 1u << 25;
  return (d & kNeeded) == kNeeded;
}

}  // namespace

bool may_use_amx() {
  static const bool may = cpu_has_tiles() && syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
  return may;
}

}  // namespace polymath::backend::cpu
