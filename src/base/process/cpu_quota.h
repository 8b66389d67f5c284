#pragma once

// The CPU time that control groups leave to this process, in whole cores: what a container's limit amounts to.

#include <string>

namespace polymath::base {

// Where the kernel says so; tests give a tree of their own.
struct CpuQuotaFiles {
  std::string groups = "/proc/self/cgroup";
  std::string mount = "/sys/fs/cgroup";  // version 2; and version 1 in its folders cpu or cpu,cpuacct
};

// The least quota of this process's group and its parents, rounded up, at least 1. 0: there is no quota.
int quota_cores(const CpuQuotaFiles& files = {});

}  // namespace polymath::base
