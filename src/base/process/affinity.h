#pragma once

// The cores that the calling thread may run on.

#include <sched.h>

#include <vector>

namespace polymath::base {

// In ascending order; empty where the kernel does not say. Any thread.
inline std::vector<int> cores_of_mask() {
  cpu_set_t allowed;
  std::vector<int> cores;
  if (sched_getaffinity(0, sizeof(allowed), &allowed) != 0) return cores;
  for (int core = 0; core < CPU_SETSIZE; ++core) {
    if (CPU_ISSET(core, &allowed)) cores.push_back(core);
  }
  return cores;
}

}  // namespace polymath::base
