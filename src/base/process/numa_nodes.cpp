#include "base/process/numa_nodes.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <fstream>

#include "base/process/affinity.h"

namespace polymath::base {
namespace {

constexpr int kInterleave = 3;  // Linux: include/uapi/linux/mempolicy.h, MPOL_INTERLEAVE
constexpr std::string_view kAllowed = "Mems_allowed_list:";
constexpr int kWordBits = 8 * sizeof(unsigned long);

std::vector<int> list_in(const std::string& path) {
  std::ifstream in(path);
  std::string line;
  std::getline(in, line);
  return parse_node_list(line);
}

std::vector<int> allowed_nodes(const std::string& status) {
  std::ifstream in(status);
  for (std::string line; std::getline(in, line);) {
    if (line.starts_with(kAllowed)) return parse_node_list(std::string_view(line).substr(kAllowed.size()));
  }
  return {};
}

bool meet(const std::vector<int>& a, const std::vector<int>& b) {
  return std::any_of(a.begin(), a.end(), [&](int n) { return std::find(b.begin(), b.end(), n) != b.end(); });
}

}  // namespace

std::vector<int> parse_node_list(std::string_view text) {
  const auto is_space = [](char c) { return c == ' ' || c == '\t' || c == '\n'; };
  while (!text.empty() && is_space(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_space(text.back())) text.remove_suffix(1);
  std::vector<int> numbers;
  const char *at = text.data(), *const end = at + text.size();
  while (true) {
    int first = 0, last = 0;
    const auto [after, error] = std::from_chars(at, end, first);
    if (error != std::errc()) return {};
    at = after;
    last = first;
    if (at != end && *at == '-') {
      const auto [after_last, error_last] = std::from_chars(at + 1, end, last);
      if (error_last != std::errc()) return {};
      at = after_last;
    }
    if (first < 0 || last < first || last >= kNumaNodesMax) return {};
    for (int n = first; n <= last; ++n) numbers.push_back(n);
    if (at == end) return numbers;
    if (*at++ != ',') return {};
  }
}

std::vector<int> numa_nodes(const std::vector<int>& cores, const NumaFiles& files) {
  const std::vector<int> allowed = allowed_nodes(files.status);
  std::vector<int> nodes;
  for (const int node : list_in(files.nodes + "/has_memory")) {
    if (!meet({node}, allowed)) continue;
    if (meet(list_in(files.nodes + "/node" + std::to_string(node) + "/cpulist"), cores)) nodes.push_back(node);
  }
  return nodes;
}

const std::vector<int>& own_numa_nodes() {
  static const std::vector<int> nodes = numa_nodes(cores_of_mask());
  return nodes;
}

bool spread_over_nodes(const std::vector<int>& nodes, void* data, size_t bytes) {
  unsigned long mask[kNumaNodesMax / kWordBits] = {};
  for (const int node : nodes) mask[node / kWordBits] |= 1ul << (node % kWordBits);
  return syscall(SYS_mbind, data, bytes, kInterleave, mask, kNumaNodesMax + 1ul, 0u) == 0;
}

}  // namespace polymath::base
