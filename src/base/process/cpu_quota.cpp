#include "base/process/cpu_quota.h"

#include <algorithm>
#include <cstdint>
#include <fstream>
#include <optional>
#include <string_view>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"

namespace polymath::base {
namespace {

constexpr int kCoresMax = 1 << 20;  // a larger quota is none

std::vector<std::string> words_of(const std::string& path) {
  std::ifstream in(path);
  std::vector<std::string> words;
  for (std::string word; words.size() < 2 && in >> word;) words.push_back(word);
  return words;
}

// Cores of a quota in microseconds a period; nullopt: no quota.
std::optional<int> cores_of(const std::string& quota, const std::string& period) {
  int64_t q = 0, p = 0;
  if (!absl::SimpleAtoi(quota, &q) || !absl::SimpleAtoi(period, &p) || q <= 0 || p <= 0) return std::nullopt;
  const int64_t cores = (q - 1) / p + 1;
  if (cores > kCoresMax) return std::nullopt;
  return static_cast<int>(cores);
}

// "100000 100000", or "max 100000".
std::optional<int> in_version_2(const std::string& folder) {
  const std::vector<std::string> words = words_of(folder + "/cpu.max");
  return words.size() < 2 ? std::nullopt : cores_of(words[0], words[1]);
}

// -1: no quota.
std::optional<int> in_version_1(const std::string& folder) {
  const std::vector<std::string> quota = words_of(folder + "/cpu.cfs_quota_us");
  const std::vector<std::string> period = words_of(folder + "/cpu.cfs_period_us");
  return quota.empty() || period.empty() ? std::nullopt : cores_of(quota[0], period[0]);
}

using Read = std::optional<int> (*)(const std::string& folder);

// Of `group` and each parent, up to the mount. A container may see the host's path, which its mount does not have. Then
// the mount itself is the group.
int least_in(const std::string& mount, std::string_view group, Read read) {
  int least = 0;
  for (std::string path(group);; path.resize(path.rfind('/'))) {
    while (path.ends_with('/')) path.pop_back();
    if (const auto cores = read(mount + path)) least = least == 0 ? *cores : std::min(least, *cores);
    if (path.find('/') == std::string::npos) return least;
  }
}

}  // namespace

int quota_cores(const CpuQuotaFiles& files) {
  std::ifstream in(files.groups);
  int least = 0;
  const auto take = [&](int cores) {
    if (cores > 0) least = least == 0 ? cores : std::min(least, cores);
  };
  for (std::string line; std::getline(in, line);) {  // "4:cpu,cpuacct:/a/b"; version 2: "0::/a/b"
    const std::vector<std::string> parts = absl::StrSplit(line, absl::MaxSplits(':', 2));
    if (parts.size() != 3) continue;
    if (parts[1].empty()) {
      take(least_in(files.mount, parts[2], in_version_2));
      take(least_in(files.mount + "/unified", parts[2], in_version_2));
    }
    const std::vector<std::string> controllers = absl::StrSplit(parts[1], ',');
    if (std::find(controllers.begin(), controllers.end(), "cpu") == controllers.end()) continue;
    take(least_in(files.mount + "/cpu", parts[2], in_version_1));
    take(least_in(files.mount + "/" + parts[1], parts[2], in_version_1));
  }
  return least;
}

}  // namespace polymath::base
