#include "commands/memory.h"

#include <algorithm>
#include <fstream>
#include <sstream>
#include <string>
#include <string_view>

#include "absl/strings/numbers.h"

namespace polymath::commands {
namespace {

constexpr int64_t kNoLimit = INT64_MAX;

// The only number of a file; "max" or no file: no limit.
int64_t number_in(const std::string& path) {
  std::ifstream in(path);
  std::string word;
  int64_t value = 0;
  return in >> word && absl::SimpleAtoi(word, &value) && value >= 0 ? value : kNoLimit;
}

// The number behind `key` in lines of "key value".
int64_t number_after(const std::string& path, std::string_view key) {
  std::ifstream in(path);
  std::string line;
  while (std::getline(in, line)) {
    std::istringstream words(line);
    std::string name;
    int64_t value = 0;
    if (words >> name >> value && name == key) return value;
  }
  return kNoLimit;
}

struct GroupFiles {
  const char* limit;
  const char* used;
  const char* stat;
  const char* reclaimable;  // in `stat`: file pages that can be evicted
};
// Version 2 of control groups, then version 1, as a container sees its own.
constexpr GroupFiles kGroups[] = {
    {"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current", "/sys/fs/cgroup/memory.stat", "inactive_file"},
    {"/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes",
     "/sys/fs/cgroup/memory/memory.stat", "total_inactive_file"},
};

int64_t left_in(const GroupFiles& group) {
  const int64_t limit = number_in(group.limit);
  const int64_t used = number_in(group.used);
  if (limit == kNoLimit || used == kNoLimit) return kNoLimit;
  const int64_t reclaimable = number_after(group.stat, group.reclaimable);
  return std::max<int64_t>(0, limit - used + (reclaimable == kNoLimit ? 0 : reclaimable));
}

}  // namespace

int64_t available_memory() {
  const int64_t kib = number_after("/proc/meminfo", "MemAvailable:");
  int64_t least = kib == kNoLimit ? kNoLimit : kib * 1024;
  for (const GroupFiles& group : kGroups) least = std::min(least, left_in(group));
  return least;
}

}  // namespace polymath::commands
