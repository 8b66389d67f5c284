#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <thread>

#include "base/clock.h"
#include "parallel/nodes/control_link.h"
#include "parallel/nodes/node_mesh.h"

namespace polymath::parallel {
namespace {

using tensor::DType;
using tensor::Tensor;

NodeOptions options_of(int at, int size, int port) {
  NodeOptions options{.self = {.at = at, .size = size, .secret = "between us", .version = "1", .settings = {}},
                      .port = port,
                      .join_seconds = 10};
  return options;
}

int free_port() { return listen_on("127.0.0.1", 0)->port(); }

using Joined = absl::StatusOr<std::shared_ptr<NodeMesh>>;

// Each node on a thread. `change` of a node's options.
std::vector<Joined> join_all(int size, const std::function<void(NodeOptions&)>& change = {}) {
  const int port = free_port();
  std::vector<Joined> joined(static_cast<size_t>(size), absl::UnknownError(""));
  std::vector<std::thread> threads;
  for (int at = 0; at < size; ++at) {
    threads.emplace_back([&, at] {
      NodeOptions options = options_of(at, size, port);
      if (change) change(options);
      joined[static_cast<size_t>(at)] = NodeMesh::join(options);
    });
  }
  for (auto& t : threads) t.join();
  return joined;
}

void on_every_node(const std::vector<Joined>& joined, const std::function<void(Communicator&)>& body) {
  std::vector<std::thread> threads;
  for (const Joined& mesh : joined) {
    threads.emplace_back([&] {
      std::vector<int> nodes;
      for (int n = 0; n < (*mesh)->size(); ++n) nodes.push_back(n);
      const auto communicator = (*mesh)->communicator(nodes);
      body(*communicator);
    });
  }
  for (auto& t : threads) t.join();
}

float value(int rank, size_t i) { return 0.1f * static_cast<float>(rank + 1) + static_cast<float>(i % 1000) / 3; }

std::vector<float> values_of(int rank, size_t n) {
  std::vector<float> x(n);
  for (size_t i = 0; i < n; ++i) x[i] = value(rank, i);
  return x;
}

// In the order of the ranks.
std::vector<float> sum_of(int size, size_t n) {
  std::vector<float> sum(n);
  for (int r = 0; r < size; ++r) {
    for (size_t i = 0; i < n; ++i) sum[i] += value(r, i);
  }
  return sum;
}

TEST(Nodes, SumTheSameBitsAsThreads) {
  for (const int size : {2, 3, 5}) {
    const auto joined = join_all(size);
    for (const Joined& mesh : joined) ASSERT_TRUE(mesh.ok()) << mesh.status();
    for (const size_t n : {size_t{1}, size_t{37}, size_t{16384}, size_t{16385}, size_t{300001}}) {
      const std::vector<float> sum = sum_of(size, n);
      on_every_node(joined, [&](Communicator& c) {
        std::vector<float> x = values_of(c.rank().at, n);
        c.all_reduce_sum({DType::kF32, {1, static_cast<int64_t>(n)}, x.data()});
        EXPECT_EQ(x, sum) << size << " nodes, " << n << " values";
        EXPECT_TRUE(c.health().ok()) << c.health();
      });
    }
  }
}

TEST(Nodes, GatherColumns) {
  constexpr size_t kRows = 4, kCols = 5, kSize = 3;
  std::vector<float> expected;
  for (size_t i = 0; i < kRows * kSize * kCols; ++i) {
    const size_t row = i / (kSize * kCols), col = i % (kSize * kCols);
    expected.push_back(value(static_cast<int>(col / kCols), row * kCols + col % kCols));
  }
  on_every_node(join_all(kSize), [&](Communicator& c) {
    std::vector<float> part = values_of(c.rank().at, kRows * kCols), all(expected.size());
    c.all_gather_cols({DType::kF32, {kRows, kCols}, part.data()}, {DType::kF32, {kRows, kSize * kCols}, all.data()});
    EXPECT_EQ(all, expected);
  });
}

TEST(Nodes, PassMessagesOnInARing) {
  const auto joined = join_all(3);
  on_every_node(joined, [&](Communicator& c) {
    const int at = c.rank().at;
    std::vector<float> x(1 << 20, static_cast<float>(at + 1));
    const Tensor t{DType::kF32, {1, 1 << 20}, x.data()};
    if (at > 0) c.receive(t, at - 1);
    if (at < 2) c.send(t, at + 1);
    EXPECT_EQ(x.back(), 1);
  });
}

TEST(Nodes, RefuseWhatDiffers) {
  const struct {
    const char* what;
    std::function<void(NodeOptions&)> change;  // of node 1
    const char* sentence;                      // of node 1's error
    bool leader_ends;
  } cases[] = {
      {"secret", [](NodeOptions& o) { o.self.secret = "guessed"; }, "the group's secret is another one there", false},
      {"build", [](NodeOptions& o) { o.self.version = "2"; }, "runs build 1, this node 2", true},
      {"number", [](NodeOptions& o) { o.self.size = 3; }, "was started with --nnodes 2, this node with 3", true},
      {"flags", [](NodeOptions& o) { o.self.settings[0] = 1; }, "has another model, or other flags", true},
      {"place", [](NodeOptions& o) { o.self.size = 3, o.self.at = 2; }, "--nnodes", true},
  };
  for (const auto& c : cases) {
    const auto joined = join_all(2, [&](NodeOptions& o) {
      o.join_seconds = 1;
      if (o.self.at == 1) c.change(o);
    });
    ASSERT_FALSE(joined[1].ok()) << c.what;
    EXPECT_NE(joined[1].status().message().find(c.sentence), std::string::npos) << joined[1].status();
    ASSERT_FALSE(joined[0].ok()) << c.what;
    EXPECT_EQ(absl::IsFailedPrecondition(joined[0].status()), c.leader_ends) << joined[0].status();
  }
}

TEST(Nodes, WaitOnAfterAStranger) {
  const int port = free_port();
  std::thread stranger([&] {
    const auto socket = connect_to("127.0.0.1", port, base::steady_seconds() + 5);
    ASSERT_TRUE(socket.ok());
    const std::string text = "GET / HTTP/1.1\r\n\r\n" + std::string(200, 'x');
    ASSERT_TRUE(write_all(*socket, std::as_bytes(std::span(text)), base::steady_seconds() + 5).ok());
    std::byte sink[512];
    EXPECT_FALSE(read_all(*socket, sink, base::steady_seconds() + 5).ok());
  });
  std::thread second([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
    EXPECT_TRUE(NodeMesh::join(options_of(1, 2, port)).ok());
  });
  EXPECT_TRUE(NodeMesh::join(options_of(0, 2, port)).ok());
  stranger.join();
  second.join();
}

TEST(Nodes, MissingNodesAreCounted) {
  NodeOptions options = options_of(0, 4, free_port());
  options.join_seconds = 0.2;
  const auto joined = NodeMesh::join(options);
  EXPECT_TRUE(absl::IsDeadlineExceeded(joined.status()));
  EXPECT_NE(joined.status().message().find("3 of 3 other nodes did not come"), std::string::npos) << joined.status();
}

TEST(Nodes, SeeThatOneIsGone) {
  auto joined = join_all(2);
  joined[1] = absl::UnknownError("gone");
  const auto c = (*joined[0])->communicator({0, 1});
  std::vector<float> x(100);
  c->all_reduce_sum({DType::kF32, {1, 100}, x.data()});
  EXPECT_NE(c->health().message().find("node 1: "), std::string::npos) << c->health();
  c->all_reduce_sum({DType::kF32, {1, 100}, x.data()});  // returns at once
}

TEST(Nodes, SeeMessagesOfAWrongSize) {
  const auto joined = join_all(2);
  on_every_node(joined, [&](Communicator& c) {
    std::vector<float> x(200);
    c.all_reduce_sum({DType::kF32, {1, 100 + c.rank().at}, x.data()});
    EXPECT_FALSE(c.health().ok());
  });
}

TEST(Nodes, AbortEndsAWait) {
  const auto joined = join_all(2);
  const auto c = (*joined[0])->communicator({0, 1});
  std::thread later([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    c->abort(absl::InternalError("enough"));
  });
  std::vector<float> x(100);
  c->receive({DType::kF32, {1, 100}, x.data()}, 1);
  later.join();
  EXPECT_EQ(c->health().message(), "enough");
}

struct Pair {
  Pair() : joined(join_all(2)) {}
  std::unique_ptr<ControlLink> link(int at, RankTrace* theirs, double silence_s = 4) {
    return std::make_unique<ControlLink>((*joined[static_cast<size_t>(at)])->take_control(1 - at),
                                         ControlLink::Options{.peer = 1 - at, .silence_s = silence_s}, own[at], theirs,
                                         [this](const absl::Status&) { ++n_failures; });
  }
  std::vector<Joined> joined;
  RankTrace own[2];
  std::atomic<int> n_failures{0};
};

TEST(ControlLink, CarriesMessagesAndHeartbeats) {
  Pair pair;
  RankTrace seen;
  const auto a = pair.link(0, &seen), b = pair.link(1, nullptr);
  const std::string big(1 << 20, 'x');
  ASSERT_TRUE(a->send(MessageKind::kStep, std::as_bytes(std::span(big))).ok());
  ASSERT_TRUE(a->send(MessageKind::kEnd, {}).ok());
  const auto first = b->receive();
  ASSERT_TRUE(first.ok());
  EXPECT_EQ(first->kind, MessageKind::kStep);
  EXPECT_EQ(first->bytes.size(), big.size());
  EXPECT_EQ(b->receive()->kind, MessageKind::kEnd);
  pair.own[1].enter(Activity::kAttention, 7);
  for (int i = 0; i < 100 && seen.now().layer != 7; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(50));
  EXPECT_EQ(seen.now().layer, 7);
  EXPECT_EQ(pair.n_failures, 0);
}

TEST(ControlLink, SeesThatThePeerIsGone) {
  Pair pair;
  const auto a = pair.link(0, nullptr);
  auto b = pair.link(1, nullptr);
  b.reset();
  const auto message = a->receive();
  EXPECT_NE(message.status().message().find("node 1: it closed the connection"), std::string::npos) << message.status();
  EXPECT_EQ(pair.n_failures, 1);
}

TEST(ControlLink, SeesThatThePeerIsSilent) {
  Pair pair;
  const Socket silent = (*pair.joined[1])->take_control(0);
  const auto a = pair.link(0, nullptr, 0.3);
  EXPECT_NE(a->receive().status().message().find("nothing was heard for 0.3 s"), std::string::npos);
}

TEST(ControlLink, RefusesNonsense) {
  const uint32_t heads[][2] = {{99, 0}, {3, 0xffffffff}, {0, 4}};
  for (const auto& head : heads) {
    Pair pair;
    const Socket peer = (*pair.joined[1])->take_control(0);
    const auto a = pair.link(0, nullptr);
    const std::byte four[4] = {};
    ASSERT_TRUE(write_all(peer, std::as_bytes(std::span(head)), base::steady_seconds() + 1).ok());
    ASSERT_TRUE(write_all(peer, four, base::steady_seconds() + 1).ok());
    EXPECT_TRUE(absl::IsInternal(a->receive().status())) << head[0];
  }
}

}  // namespace
}  // namespace polymath::parallel
