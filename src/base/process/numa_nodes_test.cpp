#include "base/process/numa_nodes.h"

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <filesystem>
#include <fstream>
#include <utility>

namespace polymath::base {
namespace {

TEST(NumaNodes, Lists) {
  const std::pair<const char*, std::vector<int>> cases[] = {{"0", {0}},
                                                            {"0-2\n", {0, 1, 2}},
                                                            {"0,2-3,8", {0, 2, 3, 8}},
                                                            {" 1 ", {1}},
                                                            {"1023", {1023}},
                                                            {"", {}},
                                                            {"1024", {}},
                                                            {"0-99999999", {}},
                                                            {"3-1", {}},
                                                            {"0-", {}},
                                                            {"-1", {}},
                                                            {"0,", {}},
                                                            {"0-1-2", {}},
                                                            {"x", {}},
                                                            {"0x1", {}},
                                                            {"0;1", {}},
                                                            {"0 1", {}},
                                                            {"\n", {}},
                                                            {"99999999999", {}}};
  for (const auto& [text, expected] : cases) EXPECT_EQ(parse_node_list(text), expected) << text;
}

struct Case {
  const char* name;
  const char* status;
  std::vector<std::pair<const char*, const char*>> files;
  std::vector<int> cores, nodes;
};

TEST(NumaNodes, ThoseWithMemoryAndCoresOfTheProcess) {
  const std::pair<const char*, const char*> cpus0 = {"node0/cpulist", "0-3\n"}, cpus1 = {"node1/cpulist", "4-7\n"};
  const std::pair<const char*, const char*> both = {"has_memory", "0-1\n"};
  const Case cases[] = {
      {"two", "Name:\tx\nMems_allowed_list:\t0-1\n", {both, cpus0, cpus1}, {0, 5}, {0, 1}},
      {"cores of one", "Mems_allowed_list:\t0-1\n", {both, cpus0, cpus1}, {4, 5}, {1}},
      {"memory of one is allowed", "Mems_allowed_list:\t0\n", {both, cpus0, cpus1}, {0, 5}, {0}},
      {"more allowed than there are", "Mems_allowed_list:\t0-63\n", {both, cpus0, cpus1}, {0, 5}, {0, 1}},
      {"memory without cores", "Mems_allowed_list:\t0-1\n", {both, cpus0, {"node1/cpulist", "\n"}}, {0, 1}, {0}},
      {"cores without memory", "Mems_allowed_list:\t0-1\n", {{"has_memory", "0\n"}, cpus0, cpus1}, {0, 5}, {0}},
      {"a node without files", "Mems_allowed_list:\t0-1\n", {both, cpus0}, {0, 5}, {0}},
      {"no files", "Mems_allowed_list:\t0-1\n", {}, {0, 5}, {}},
      {"no line", "Name:\tx\n", {both, cpus0, cpus1}, {0, 5}, {}},
      {"nonsense", "Mems_allowed_list:\t0-1\n", {{"has_memory", "all"}, cpus0, cpus1}, {0, 5}, {}},
      {"no cores", "Mems_allowed_list:\t0-1\n", {both, cpus0, cpus1}, {}, {}},
  };
  const std::filesystem::path root = std::filesystem::path(testing::TempDir()) / "numa_nodes";
  for (const Case& c : cases) {
    std::filesystem::remove_all(root);
    std::filesystem::create_directories(root / "node0");
    std::filesystem::create_directories(root / "node1");
    for (const auto& [name, text] : c.files) std::ofstream(root / name) << text;
    std::ofstream(root / "status") << c.status;
    EXPECT_EQ(numa_nodes(c.cores, {root.string(), (root / "status").string()}), c.nodes) << c.name;
  }
  std::filesystem::remove_all(root);
}

TEST(NumaNodes, MemoryIsSpreadOverTheNodesOfThisMachine) {
  if (own_numa_nodes().empty()) GTEST_SKIP() << "the kernel names no nodes";
  constexpr size_t kBytes = 1 << 20;
  void* data = mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(data, MAP_FAILED);
  spread_over_nodes(own_numa_nodes(), data, kBytes);  // a sandbox may refuse; the memory is usable all the same
  static_cast<char*>(data)[kBytes - 1] = 1;
  munmap(data, kBytes);
}

}  // namespace
}  // namespace polymath::base
