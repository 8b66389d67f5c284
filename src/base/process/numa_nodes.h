#pragma once

// NUMA nodes, and memory spread over them.
//
// Threads take work in any order, so cores of every node read a weight. Its pages lie on all nodes in turn. Then all
// memory controllers read together.

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace polymath::base {

// "0-3,8" as the kernel writes it. Empty: it is no such list. A number of kNumaNodesMax or more makes it none.
constexpr int kNumaNodesMax = 1024;
std::vector<int> parse_node_list(std::string_view text);

// Where the kernel says so; tests give files of their own.
struct NumaFiles {
  std::string nodes = "/sys/devices/system/node";
  std::string status = "/proc/self/status";
};

// Nodes with memory that this process may use and with one of these cores. Empty where the kernel does not say.
std::vector<int> numa_nodes(const std::vector<int>& cores, const NumaFiles& files = {});
// The same for the process's affinity mask at the first call. Thread-safe.
const std::vector<int>& own_numa_nodes();

// Spreads pages that were not touched yet. False: the kernel refuses.
bool spread_over_nodes(const std::vector<int>& nodes, void* data, size_t bytes);

}  // namespace polymath::base
