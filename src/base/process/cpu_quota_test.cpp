#include "base/process/cpu_quota.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <utility>
#include <vector>

namespace polymath::base {
namespace {

struct Case {
  const char* name;
  const char* groups;
  std::vector<std::pair<const char*, const char*>> files;  // below the mount
  int cores;
};

TEST(CpuQuota, TheLeastOfTheGroupAndItsParents) {
  const Case cases[] = {
      {"no groups", "", {}, 0},
      {"2: none", "0::/\n", {{"cpu.max", "max 100000"}}, 0},
      {"2: a container's own root", "0::/\n", {{"cpu.max", "200000 100000"}}, 2},
      {"2: rounded up", "0::/\n", {{"cpu.max", "150000 100000"}}, 2},
      {"2: at least 1", "0::/a\n", {{"a/cpu.max", "1000 100000"}}, 1},
      {"2: a parent", "0::/a/b/c\n", {{"a/cpu.max", "300000 100000"}, {"a/b/c/cpu.max", "max 100000"}}, 3},
      {"2: the child is less", "0::/a/b\n", {{"a/cpu.max", "300000 100000"}, {"a/b/cpu.max", "50000 50000"}}, 1},
      {"2: not another group's", "0::/a\n", {{"b/cpu.max", "100000 100000"}}, 0},
      {"2: the host's path", "0::/docker/0123\n", {{"cpu.max", "400000 100000"}}, 4},
      {"2: nonsense", "0::/\n", {{"cpu.max", "x y"}}, 0},
      {"2: nothing", "0::/\n", {{"cpu.max", ""}}, 0},
      {"1: none", "4:cpu,cpuacct:/\n", {{"cpu/cpu.cfs_quota_us", "-1"}, {"cpu/cpu.cfs_period_us", "100000"}}, 0},
      {"1: a quota",
       "3:memory:/x\n4:cpuacct,cpu:/a/b\n",
       {{"cpu/a/cpu.cfs_quota_us", "250000"}, {"cpu/a/cpu.cfs_period_us", "100000"}},
       3},
      {"1: the joint folder",
       "4:cpu,cpuacct:/docker/0123\n",
       {{"cpu,cpuacct/cpu.cfs_quota_us", "100000"}, {"cpu,cpuacct/cpu.cfs_period_us", "100000"}},
       1},
      {"1: cpuset is another controller",
       "4:cpuset:/\n",
       {{"cpu/cpu.cfs_quota_us", "100000"}, {"cpu/cpu.cfs_period_us", "100000"}},
       0},
      {"both", "4:cpu:/\n0::/\n", {{"cpu/cpu.cfs_quota_us", "-1"}, {"unified/cpu.max", "200000 100000"}}, 2},
  };
  for (const Case& c : cases) {
    const std::filesystem::path root = std::filesystem::path(testing::TempDir()) / "polymath_cpu_quota";
    std::filesystem::remove_all(root);
    std::filesystem::create_directories(root / "mount");
    std::ofstream(root / "groups") << c.groups;
    for (const auto& [path, text] : c.files) {
      std::filesystem::create_directories((root / "mount" / path).parent_path());
      std::ofstream(root / "mount" / path) << text << "\n";
    }
    EXPECT_EQ(quota_cores({.groups = (root / "groups").string(), .mount = (root / "mount").string()}), c.cores)
        << c.name;
    std::filesystem::remove_all(root);
  }
}

}  // namespace
}  // namespace polymath::base
