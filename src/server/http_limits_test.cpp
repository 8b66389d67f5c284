// What requests and connections share: memory of bodies, threads, places.

#include <atomic>
#include <deque>
#include <thread>

#include "server/http_server.h"
#include "server/test_client.h"
#include "server/work_lanes.h"

namespace polymath::server {
namespace {

std::string post(std::string_view path, size_t said, size_t sent) {
  return "POST " + std::string(path) + " HTTP/1.1\r\nHost: t\r\nContent-Length: " + std::to_string(said) + "\r\n\r\n" +
         std::string(sent, 'x');
}
std::string get(std::string_view path) { return "GET " + std::string(path) + " HTTP/1.1\r\nHost: t\r\n\r\n"; }

void add_routes(HttpServer& server) {
  server.route("POST", "/count", [](const HttpRequest& request, const std::shared_ptr<HttpReply>& reply) {
    reply->send(200, "text/plain", std::to_string(request.body.size()));
  });
  server.route(
      "GET", "/live",
      [](const HttpRequest&, const std::shared_ptr<HttpReply>& reply) { reply->send(200, "text/plain", "alive"); },
      RouteKind::kProbe);
  server.route("GET", "/work", [](const HttpRequest&, const std::shared_ptr<HttpReply>& reply) {
    reply->send(200, "text/plain", "worked");
  });
}

// A handler that blocks its thread until the test ends.
class Barrier {
 public:
  void add_to(HttpServer& server) {
    server.route("POST", "/block", [this](const HttpRequest&, const std::shared_ptr<HttpReply>& reply) {
      entered.set();
      leave.wait(1);
      reply->send(200, "text/plain", "left");
    });
  }
  TestSignal entered, leave;
};

// A server with three requests at its barrier, each of a body of `bytes`.
struct ServerAtBarrier {
  explicit ServerAtBarrier(size_t bytes) {
    add_routes(server);
    barrier.add_to(server);
    EXPECT_TRUE(server.start().ok());
    for (int i = 0; i < 3; ++i) {
      clients.emplace_back(server.port());
      clients.back().send(post("/block", bytes, bytes));
    }
  }
  void open() {
    barrier.leave.set();
    for (TestClient& client : clients) EXPECT_EQ("left", body_of(client.read_response()));
  }
  Barrier barrier;
  HttpServer server{test_options()};
  std::deque<TestClient> clients;
};

TEST(HttpLimits, BodiesShareABudget) {
  auto options = test_options();
  options.limits.body_bytes_total_max = 1u << 20;
  HttpServer server(options);
  add_routes(server);
  ASSERT_TRUE(server.start().ok());
  constexpr size_t kLarge = 800'000;
  TestClient first(server.port());
  first.send(post("/count", kLarge, kLarge - 1000));
  EXPECT_FALSE(first.read_more(200)) << "the server waits for the rest";
  TestClient announced(server.port());
  announced.send(post("/count", kLarge, 0));
  const std::string refused = announced.read_all();
  EXPECT_EQ(503, status_of(refused)) << refused;
  EXPECT_NE(std::string::npos, refused.find("Retry-After: "));
  TestClient chunked(server.port());
  chunked.send("POST /count HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n40000\r\n");
  chunked.send(std::string(0x40000, 'x'));
  EXPECT_EQ(503, status_of(chunked.read_all())) << "charged as it arrives";
  TestClient small(server.port());
  small.send(post("/count", 60'000, 60'000));
  EXPECT_EQ(200, status_of(small.read_response())) << "an eighth is for small bodies";
  first.send(std::string(1000, 'x'));
  EXPECT_EQ("800000", body_of(first.read_response()));
  TestClient later(server.port());
  later.send(post("/count", kLarge, kLarge));
  EXPECT_EQ("800000", body_of(later.read_response()));
}

TEST(HttpLimits, ABodysMemoryReturnsWithItsRequest) {
  auto options = test_options();
  options.limits.body_bytes_total_max = 1u << 20;
  HttpServer server(options);
  add_routes(server);
  ASSERT_TRUE(server.start().ok());
  for (int i = 0; i < 20; ++i) {
    TestClient whole(server.port()), cut(server.port());
    cut.send(post("/count", 400'000, 300'000));
    cut.reset();
    whole.send(post("/count", 400'000, 400'000));
    const std::string response = whole.read_response();
    if (status_of(response) == 200) continue;
    EXPECT_EQ(503, status_of(response));  // the reset was not seen yet
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  TestClient last(server.port());
  last.send(post("/count", 900'000, 900'000));
  EXPECT_EQ(200, status_of(last.read_response()));
}

TEST(HttpLimits, ASlowBodyIsGivenUp) {
  auto options = test_options();
  options.limits.body_grace_s = 1;
  options.limits.body_bytes_per_s_min = 1000;
  HttpServer server(options);
  add_routes(server);
  ASSERT_TRUE(server.start().ok());
  TestClient slow(server.port()), steady(server.port());
  const auto begin = std::chrono::steady_clock::now();
  slow.send(post("/count", 10'000, 10));
  steady.send(post("/count", 5'000, 2'000));
  EXPECT_EQ(408, status_of(slow.read_all()));
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(3));
  steady.send(std::string(3'000, 'x'));
  EXPECT_EQ("5000", body_of(steady.read_response())) << "2,000 bytes are good for three seconds";
}

TEST(HttpLimits, SlowBodiesGiveWay) {
  auto options = test_options();
  options.limits.connections_max = 2;
  HttpServer server(options);
  add_routes(server);
  ASSERT_TRUE(server.start().ok());
  TestClient slow(server.port()), steady(server.port());
  slow.send(post("/count", 10'000, 10));
  for (int i = 0; i < 5; ++i) {
    steady.send(i == 0 ? post("/count", 10'000, 2'000) : std::string(2'000, 'x'));
    if (i < 4) std::this_thread::sleep_for(std::chrono::milliseconds(600));
    if (i != 3) continue;
    TestClient other(server.port());
    other.send(get("/work"));
    EXPECT_EQ("worked", body_of(other.read_response()));
  }
  EXPECT_EQ(503, status_of(slow.read_all()));
  EXPECT_EQ("10000", body_of(steady.read_response()));
}

TEST(HttpLimits, SlowReadersGiveWay) {
  auto options = test_options();
  options.limits.connections_max = 1;
  HttpServer server(options);
  add_routes(server);
  server.route("GET", "/large", [](const HttpRequest&, const std::shared_ptr<HttpReply>& reply) {
    reply->send(200, "text/plain", std::string(20u << 20, 'x'));
  });
  ASSERT_TRUE(server.start().ok());
  TestClient reader(server.port(), 4096);
  reader.send(get("/large"));
  ASSERT_TRUE(reader.read_more());
  TestClient early(server.port());
  early.send(get("/work"));
  EXPECT_EQ(503, status_of(early.read_all())) << "a reader has three seconds";
  std::this_thread::sleep_for(std::chrono::milliseconds(3'500));
  TestClient later(server.port());
  later.send(get("/work"));
  EXPECT_EQ("worked", body_of(later.read_response()));
  EXPECT_LT(reader.read_all().size(), 20u << 20) << "cut";
}

TEST(HttpLimits, ProbesTakeNoPlacesOfRequests) {
  auto options = test_options();
  options.limits.requests_in_flight_max = 1;
  HttpServer server(options);
  add_routes(server);
  server.route(
      "GET", "/large",
      [](const HttpRequest&, const std::shared_ptr<HttpReply>& reply) {
        reply->send(200, "text/plain", std::string(20u << 20, 'x'));
      },
      RouteKind::kProbe);
  ASSERT_TRUE(server.start().ok());
  TestClient first(server.port(), 4096), second(server.port(), 4096), worker(server.port());
  for (TestClient* client : {&first, &second}) {
    client->send(get("/large"));
    ASSERT_TRUE(client->read_more());
  }
  worker.send(get("/work"));
  EXPECT_EQ("worked", body_of(worker.read_response()));
}

TEST(HttpLimits, ProbesDoNotWaitForMetrics) {
  TestSignal entered, leave;
  HttpServer server(test_options());
  add_routes(server);
  server.route(
      "GET", "/metrics",
      [&](const HttpRequest&, const std::shared_ptr<HttpReply>& reply) {
        entered.set();
        leave.wait(1);
        reply->send(200, "text/plain", "page");
      },
      RouteKind::kMetrics);
  ASSERT_TRUE(server.start().ok());
  TestClient scraper(server.port()), prober(server.port());
  scraper.send(get("/metrics"));
  ASSERT_TRUE(entered.wait(1));
  prober.send(get("/live"));
  EXPECT_EQ("alive", body_of(prober.read_response()));
  leave.set();
  EXPECT_EQ("page", body_of(scraper.read_response()));
}

TEST(HttpLimits, AnnouncedBodiesTakeLittleOfTheBudget) {
  auto options = test_options();
  options.limits.body_bytes_total_max = 1u << 20;
  HttpServer server(options);
  add_routes(server);
  ASSERT_TRUE(server.start().ok());
  std::deque<TestClient> slow;
  for (int i = 0; i < 100; ++i) {
    slow.emplace_back(server.port());
    slow.back().send(post("/count", 60'000, 10));
  }
  TestClient client(server.port());
  client.send(post("/count", 60'000, 60'000));
  EXPECT_EQ("60000", body_of(client.read_response()));
}

TEST(HttpLimits, TheEntryIsAskedBehindTheBody) {
  std::atomic<int> entered{0};
  HttpServer server(test_options());
  add_routes(server);
  server.set_entry([&entered](const HttpRequest& request) {
    HttpServer::Admission out;
    if (++entered > 1) out.refusal = std::make_unique<HttpServer::Refusal>(HttpServer::Refusal{429, "full", {}});
    EXPECT_EQ(request.body, "abc");
    return out;
  });
  ASSERT_TRUE(server.start().ok());
  TestClient client(server.port());
  client.send(post("/count", 3, 0) + "ab");
  std::this_thread::sleep_for(std::chrono::milliseconds(200));
  EXPECT_EQ(0, entered);
  client.send("c");
  EXPECT_EQ("3", body_of(client.read_response()));
  client.send(post("/count", 3, 0) + "abc");
  EXPECT_EQ(429, status_of(client.read_response()));
  EXPECT_EQ(2, entered);
}

TEST(FairQueue, ClientsTakeTurns) {
  FairQueue queue;
  std::string order;
  for (const char c : std::string("aaabba")) {
    queue.push(std::string(1, c), [&order, c] { order += c; });
  }
  while (const auto job = queue.pop()) job();
  EXPECT_EQ("ababaa", order);
  EXPECT_EQ(nullptr, queue.pop());
}

TEST(HttpLimits, LargeBodiesDoNotDelaySmallOnes) {
  ServerAtBarrier large(100'000);
  ASSERT_TRUE(large.barrier.entered.wait());
  TestClient small(large.server.port());
  for (int i = 0; i < 20; ++i) {
    small.send(post("/count", 10, 10));
    EXPECT_EQ("10", body_of(small.read_response()));
  }
  EXPECT_EQ(1, large.barrier.entered.count()) << "the others wait for the first";
  large.open();
}

TEST(HttpLimits, ProbesAreAnsweredWhileAllWorkersAreBusy) {
  ServerAtBarrier busy(10);
  ASSERT_TRUE(busy.barrier.entered.wait(2));
  TestClient probe(busy.server.port());
  probe.send(get("/live"));
  EXPECT_EQ("alive", body_of(probe.read_response()));
  busy.open();
}

TEST(HttpLimits, LongWorkSeesThatItsClientHasGone) {
  HttpServer server(test_options());
  TestSignal entered, stopped;
  server.route("GET", "/long", [&](const HttpRequest&, const std::shared_ptr<HttpReply>& reply) {
    entered.set();
    while (!reply->gone()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    stopped.set();
  });
  ASSERT_TRUE(server.start().ok());
  TestClient client(server.port());
  client.send(get("/long"));
  ASSERT_TRUE(entered.wait());
  EXPECT_EQ(0, stopped.count());
  client.reset();
  EXPECT_TRUE(stopped.wait());
}

TEST(HttpLimits, ConnectionsThatWaitGiveWay) {
  auto options = test_options();
  options.limits.connections_max = 2;
  HttpServer server(options);
  add_routes(server);
  HeldReply held;
  server.route("GET", "/hold",
               [&](const HttpRequest&, std::shared_ptr<HttpReply> reply) { held.put(std::move(reply)); });
  ASSERT_TRUE(server.start().ok());
  TestClient idle(server.port()), headless(server.port());
  idle.send(get("/work"));
  EXPECT_EQ(200, status_of(idle.read_response()));
  headless.send("GET /work HT");
  TestClient early(server.port());
  early.send(get("/work"));
  EXPECT_EQ(503, status_of(early.read_all())) << "both may be about to send";
  std::this_thread::sleep_for(std::chrono::milliseconds(1200));
  TestClient third(server.port());
  third.send(get("/hold"));
  const auto reply = held.take();
  EXPECT_TRUE(idle.closed_within(1000)) << "idle connections go first";
  TestClient fourth(server.port());
  fourth.send(get("/work"));
  EXPECT_EQ("worked", body_of(fourth.read_response()));
  EXPECT_EQ(503, status_of(headless.read_all())) << "then those without a head, which are answered";
  reply->send(200, "text/plain", "kept");
  EXPECT_EQ("kept", body_of(third.read_response())) << "a busy connection stays";
}

TEST(HttpLimits, SpareConnectionsAnswerProbes) {
  auto options = test_options();
  options.limits.connections_max = 1;
  options.limits.spare_connections_max = 1;
  HttpServer server(options);
  add_routes(server);
  HeldReply held;
  server.route("GET", "/hold",
               [&](const HttpRequest&, std::shared_ptr<HttpReply> reply) { held.put(std::move(reply)); });
  ASSERT_TRUE(server.start().ok());
  TestClient busy(server.port());
  busy.send(get("/hold"));
  const auto reply = held.take();
  TestClient probe(server.port());
  probe.send(get("/live"));
  const std::string alive = probe.read_all();
  EXPECT_EQ("alive", body_of(alive));
  EXPECT_NE(std::string::npos, alive.find("Connection: close"));
  TestClient other(server.port());
  other.send(get("/work"));
  EXPECT_EQ(503, status_of(other.read_all()));
  TestClient silent(server.port());
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  TestClient beyond(server.port());
  EXPECT_EQ(503, status_of(silent.read_all())) << "gives way at once";
  EXPECT_EQ(503, status_of(beyond.read_all()));
  TestClient others[3] = {TestClient(server.port()), TestClient(server.port()), TestClient(server.port())};
  TestClient again(server.port());
  again.send(get("/live"));
  EXPECT_EQ("alive", body_of(again.read_all())) << "silent ones keep no probe out";
  for (TestClient& client : others) EXPECT_EQ(503, status_of(client.read_all()));
  reply->send(200, "text/plain", "");
}

TEST(HttpLimits, ConnectionsOfOneAddress) {
  auto options = test_options();
  options.limits.connections_per_address_max = 2;
  HttpServer server(options);
  add_routes(server);
  ASSERT_TRUE(server.start().ok());
  TestClient a(server.port());
  {
    TestClient b(server.port());
    b.send(get("/work"));
    EXPECT_EQ(200, status_of(b.read_response()));
    TestClient c(server.port());
    EXPECT_EQ(503, status_of(c.read_all()));
  }
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  TestClient d(server.port());
  d.send(get("/work"));
  EXPECT_EQ(200, status_of(d.read_response()));
}

TEST(HttpLimits, TheProbePortHasOnlyProbes) {
  auto options = test_options();
  options.probe_port = 0;
  HttpServer server(options);
  add_routes(server);
  ASSERT_TRUE(server.start().ok());
  ASSERT_NE(server.probe_port(), server.port());
  TestClient probe(server.probe_port());
  for (int i = 0; i < 2; ++i) {  // kept alive
    probe.send(get("/live"));
    EXPECT_EQ("alive", body_of(probe.read_response()));
  }
  TestClient work(server.probe_port());
  work.send(get("/work"));
  EXPECT_EQ(404, status_of(work.read_all()));
  TestClient usual(server.port());
  usual.send(get("/live"));
  EXPECT_EQ("alive", body_of(usual.read_response()));
}

}  // namespace
}  // namespace polymath::server
