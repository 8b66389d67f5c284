// Every architecture over nodes: a rank each, connected over TCP on this machine, against one rank.

#include <gtest/gtest.h>

#include <cmath>
#include <thread>

#include "parallel/nodes/node_mesh.h"
#include "runner.h"

namespace polymath::conformance {
namespace {

struct Split {
  int ranks, stages;
  bool whole_experts = false;
  int nodes() const { return ranks * stages; }
};

using Meshes = std::vector<absl::StatusOr<std::shared_ptr<parallel::NodeMesh>>>;

// Each node joins on a thread of its own.
Meshes join_nodes(int n) {
  const int port = parallel::listen_on("127.0.0.1", 0)->port();
  Meshes meshes(static_cast<size_t>(n), absl::UnknownError("not joined"));
  std::vector<std::thread> threads;
  for (int at = 0; at < n; ++at) {
    threads.emplace_back([&meshes, n, at, port] {
      const parallel::NodeIdentity self{
          .at = at, .size = n, .secret = "a test's secret", .version = "1", .settings = {}};
      meshes[static_cast<size_t>(at)] = parallel::NodeMesh::join({.self = self, .port = port, .join_seconds = 20});
    });
  }
  for (auto& t : threads) t.join();
  return meshes;
}

// Two sequences in uneven chunks.
absl::StatusOr<std::vector<float>> logits_of(Runner& runner, const std::vector<Reference>& references) {
  std::vector<float> all;
  Runner::Sequence a{references[0].ids}, b{references[1].ids};
  for (const int chunk : {5, 1, 0}) {
    ASSIGN_OR_RETURN(const std::vector<float> logits, runner.step({&a, &b}, chunk));
    all.insert(all.end(), logits.begin(), logits.end());
    if (a.computed == static_cast<int>(a.tokens.size()) || b.computed == static_cast<int>(b.tokens.size())) break;
  }
  return all;
}

RunnerOptions options_of(const Split& split) {
  return {.backend = "cpu",
          .threads = split.nodes(),
          .ranks = split.ranks,
          .stages = split.stages,
          .whole_experts = split.whole_experts};
}

float largest_difference(const std::vector<float>& a, const std::vector<float>& b) {
  float largest = a.size() == b.size() ? 0 : INFINITY;
  for (size_t i = 0; i < std::min(a.size(), b.size()); ++i) largest = std::max(largest, std::abs(a[i] - b[i]));
  return largest;
}

// False: this architecture cannot be split so.
bool check(const std::string& name, const Split& split, const std::vector<float>& expected) {
  const std::string path = model_directory(name);
  const auto threads = Runner::create(path, options_of(split));  // refuses what nodes would
  if (absl::IsInvalidArgument(threads.status()) || absl::IsUnimplemented(threads.status())) return false;
  const Meshes meshes = join_nodes(split.nodes());
  std::vector<std::thread> followers;
  for (size_t node = 1; node < meshes.size(); ++node) {
    followers.emplace_back([&, node] {
      RunnerOptions options = options_of(split);
      options.nodes = *meshes[node];
      const absl::Status status = Runner::follow(path, options);
      EXPECT_TRUE(status.ok()) << "node " << node << ": " << status;
    });
  }
  {
    RunnerOptions options = options_of(split);
    options.nodes = *meshes[0];
    const auto runner = Runner::create(path, options);
    EXPECT_TRUE(runner.ok()) << runner.status();
    if (runner.ok()) {
      const auto logits = logits_of(**runner, *read_references(name, (*runner)->vocab()));
      EXPECT_TRUE(logits.ok()) << logits.status();
      if (logits.ok()) {
        EXPECT_LE(largest_difference(*logits, expected), 1e-5F);
      }
    }
  }
  for (auto& t : followers) t.join();
  return true;
}

TEST(Nodes, ComputeWhatOneRankDoes) {
  const Split splits[] = {{2, 1}, {2, 1, true}, {1, 2}, {2, 2}};
  int n_checked = 0;
  for (const std::string& name : model_names()) {
    const auto alone = Runner::create(model_directory(name), {.backend = "cpu", .threads = 1});
    ASSERT_TRUE(alone.ok()) << alone.status();
    const auto expected = logits_of(**alone, *read_references(name, (*alone)->vocab()));
    ASSERT_TRUE(expected.ok()) << expected.status();
    for (const Split& split : splits) {
      SCOPED_TRACE(testing::Message() << name << ", " << split.stages << " stages of " << split.ranks
                                      << " nodes, whole experts " << split.whole_experts);
      n_checked += check(name, split, *expected) ? 1 : 0;
    }
  }
  EXPECT_GE(n_checked, 100);
}

}  // namespace
}  // namespace polymath::conformance
