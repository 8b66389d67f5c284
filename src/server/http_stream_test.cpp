// Streams, peers that leave, and stopping.

#include <atomic>
#include <thread>

#include "server/http_server.h"
#include "server/test_client.h"

namespace polymath::server {
namespace {

constexpr std::string_view kStreamRequest = "GET /stream HTTP/1.1\r\nHost: t\r\n\r\n";
constexpr std::string_view kHoldRequest = "GET /hold HTTP/1.1\r\nHost: t\r\n\r\n";
constexpr std::string_view kOldHoldRequest = "GET /hold HTTP/1.0\r\n\r\n";  // as proxies send it

// A server whose handlers give their replies to the test.
struct Fixture {
  explicit Fixture(HttpServerOptions options = test_options()) : server(std::move(options)) {
    server.route("GET", "/stream", [this](const HttpRequest&, std::shared_ptr<HttpReply> reply) {
      reply->on_gone([this] { gone.set(); });
      reply->start_stream(200, "text/event-stream", {{"X-A", "1"}});
      held.put(std::move(reply));
    });
    server.route("GET", "/hold", [this](const HttpRequest&, std::shared_ptr<HttpReply> reply) {
      reply->on_gone([this] { gone.set(); });
      held.put(std::move(reply));
    });
    EXPECT_TRUE(server.start().ok());
  }
  TestSignal gone;  // outlives the server
  HeldReply held;
  HttpServer server;
};

std::string unchunk(const std::string& response) {
  std::string body = body_of(response), out;
  while (true) {
    const size_t eol = body.find("\r\n");
    if (eol == std::string::npos) return out + "(cut)";
    const size_t size = std::stoul(body, nullptr, 16);
    if (size == 0) return out;
    if (body.size() < eol + size + 4) return out + "(cut)";
    out += body.substr(eol + 2, size);
    body.erase(0, eol + 2 + size + 2);
  }
}

TEST(HttpStream, EventsLeaveAtOnceAndTheConnectionLives) {
  Fixture f;
  TestClient client(f.server.port());
  for (int round = 0; round < 2; ++round) {
    client.send(kStreamRequest);
    const auto reply = f.held.take();
    ASSERT_TRUE(client.read_until("X-A: 1")) << "the head does not wait for the first event";
    reply->write("data: 1\n\n");
    ASSERT_TRUE(client.read_until("data: 1"));
    reply->write("data: 2\n\n");
    reply->write("");  // must not end the stream
    reply->write("data: 3\n\n");
    reply->end();
    reply->write("after the end");
    ASSERT_TRUE(client.read_until("0\r\n\r\n"));
    const std::string all = client.received();
    EXPECT_EQ("data: 1\n\ndata: 2\n\ndata: 3\n\n", unchunk(all));
    for (const char* line :
         {"Transfer-Encoding: chunked", "Cache-Control: no-cache", "X-Accel-Buffering: no", "text/event-stream"}) {
      EXPECT_NE(std::string::npos, all.find(line)) << line;
    }
    client.drop_received();
  }
  EXPECT_EQ(0, f.gone.count());
}

TEST(HttpStream, Http10StreamEndsWithTheConnection) {
  Fixture f;
  TestClient client(f.server.port());
  client.send("GET /stream HTTP/1.0\r\n\r\n");
  const auto reply = f.held.take();
  reply->write("a");
  reply->write("b");
  reply->end();
  const std::string all = client.read_all();
  EXPECT_EQ("ab", body_of(all));
  EXPECT_EQ(std::string::npos, all.find("chunked"));
}

TEST(HttpStream, HeadOfAStreamHasNoBody) {
  Fixture f;
  TestClient client(f.server.port());
  client.send("HEAD /stream HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n");
  const auto reply = f.held.take();
  reply->write("a");
  reply->end();
  EXPECT_EQ("", body_of(client.read_all()));
}

TEST(HttpStream, ADroppedStreamIsCut) {
  Fixture f;
  TestClient client(f.server.port());
  client.send(kStreamRequest);
  f.held.take()->write("a");  // the reply is dropped here
  EXPECT_TRUE(client.closed_within(3000));
  EXPECT_EQ(std::string::npos, client.received().find("0\r\n\r\n"));
}

TEST(HttpStream, ASlowReaderIsClosedAtTheBufferMaxAndDelaysNoOther) {
  auto options = test_options();
  options.limits.stream_buffer_bytes_max = 1u << 20;
  Fixture f(options);
  TestClient slow(f.server.port(), 4096), quick(f.server.port());
  slow.send(kStreamRequest);
  const auto slow_reply = f.held.take();
  quick.send(kStreamRequest);
  const auto quick_reply = f.held.take();
  const std::string chunk(64 << 10, 'x');
  const auto begin = std::chrono::steady_clock::now();
  for (int i = 0; i < 2000 && f.gone.count() == 0; ++i) {
    slow_reply->write(chunk);
    if (i % 4 == 3) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(3)) << "a writer waited";
  EXPECT_TRUE(f.gone.wait());
  quick_reply->write("data: quick\n\n");
  EXPECT_TRUE(quick.read_until("data: quick"));
  quick_reply->end();
  EXPECT_EQ(1, f.gone.count());
}

TEST(HttpStream, APeerThatDoesNotReadIsClosedAtTheWriteTimeout) {
  auto options = test_options();
  options.limits.write_timeout_s = 1;
  options.limits.stream_buffer_bytes_max = 64u << 20;
  Fixture f(options);
  TestClient client(f.server.port(), 4096);
  client.send(kStreamRequest);
  const auto reply = f.held.take();
  reply->write(std::string(32u << 20, 'x'));
  EXPECT_TRUE(f.gone.wait(1, 4000));
}

struct Leaving {
  const char* name;
  std::string_view request;
  bool unix_socket;
  std::function<void(TestClient&)> leave;
  bool write;  // the handler writes after the peer has left
};

TEST(HttpStream, APeerThatLeavesIsNoticed) {
  const auto closes = [](TestClient& client) { client.close(); };
  const auto resets = [](TestClient& client) { client.reset(); };
  const Leaving cases[] = {
      {"stream, closed, next write", kStreamRequest, false, closes, true},
      {"stream, silent, closed", kStreamRequest, false, closes, false},
      {"stream, reset", kStreamRequest, false, resets, false},
      {"no stream, closed", kHoldRequest, false, closes, false},
      {"no stream, closed, HTTP/1.0", kOldHoldRequest, false, closes, false},
      {"no stream, reset", kHoldRequest, false, resets, false},
      {"unix stream, closed", kStreamRequest, true, closes, false},
      {"unix no stream, closed", kHoldRequest, true, closes, false},
  };
  for (const Leaving& c : cases) {
    auto options = test_options();
    if (c.unix_socket) {
      options.unix_socket = testing::TempDir() + "polymath_leave_" + std::to_string(getpid()) + ".sock";
    }
    Fixture f(options);
    auto client = c.unix_socket ? std::make_unique<TestClient>(options.unix_socket)
                                : std::make_unique<TestClient>(f.server.port());
    client->send(c.request);
    const auto reply = f.held.take();
    if (c.request == kStreamRequest) {
      ASSERT_TRUE(client->read_until("\r\n\r\n"));
    }
    c.leave(*client);
    if (c.write) reply->write("data: x\n\n");
    EXPECT_TRUE(f.gone.wait(1, 1000)) << c.name;
    reply->write("into the void");
    reply->end();
    TestSignal late;
    reply->on_gone([&] { late.set(); });
    EXPECT_EQ(1, late.count()) << "already gone: called at once";
    EXPECT_EQ(1, f.gone.count()) << c.name;
  }
}

TEST(HttpStream, AHalfCloseIsNotGone) {
  Fixture f;
  TestClient stream(f.server.port()), hold(f.server.port());
  stream.send(kStreamRequest);
  stream.half_close();
  auto reply = f.held.take();
  EXPECT_FALSE(f.gone.wait(1, 200));
  reply->write("data: x\n\n");
  reply->end();
  EXPECT_NE(std::string::npos, stream.read_all().find("data: x"));
}

// Probes send the beginning of the answer in advance; in the end it is whole.
TEST(HttpStream, AHalfClosedPeerIsProbedAndGetsItsAnswer) {
  Fixture f;
  for (const std::string_view request : {kHoldRequest, kOldHoldRequest}) {
    TestClient hold(f.server.port());
    hold.send(request);
    hold.half_close();
    const auto reply = f.held.take();
    ASSERT_TRUE(hold.read_until("HT")) << "two probes";
    EXPECT_EQ(0, f.gone.count());
    reply->send(200, "text/plain", "held");
    const std::string all = hold.read_all();
    EXPECT_TRUE(all.starts_with("HTTP/1.1 200 OK\r\n")) << all;
    EXPECT_TRUE(all.ends_with("\r\n\r\nheld")) << all;
  }
}

// Clients learn from each answer that they should connect elsewhere.
TEST(HttpStream, ADrainClosesEachConnectionBehindItsAnswer) {
  Fixture f;
  TestClient running(f.server.port()), idle(f.server.port()), fresh(f.server.port());
  running.send(kHoldRequest);
  const auto reply = f.held.take();
  idle.send("GET /nothing HTTP/1.1\r\nHost: t\r\n\r\n");
  EXPECT_EQ(idle.read_response().find("Connection: close"), std::string::npos);
  f.server.begin_drain();
  for (TestClient* client : {&idle, &fresh}) {
    client->send(kHoldRequest);
    f.held.take()->send(503, "text/plain", "elsewhere");
    EXPECT_NE(client->read_response().find("Connection: close"), std::string::npos);
    EXPECT_TRUE(client->closed_within(1000));
  }
  reply->send(200, "text/plain", "held");
  const std::string all = running.read_all();
  EXPECT_NE(all.find("Connection: close"), std::string::npos) << "taken before the drain, answered in it";
  EXPECT_TRUE(all.ends_with("held"));
}

TEST(HttpStream, StopWaitsForOpenRepliesAndRefusesNewOnes) {
  Fixture f;
  TestClient client(f.server.port()), other(f.server.port());
  client.send(kStreamRequest);
  const auto reply = f.held.take();
  ASSERT_TRUE(client.read_until("\r\n\r\n"));
  other.send("GET /nothing HTTP/1.1\r\nHost: t\r\n\r\n");
  EXPECT_EQ(404, status_of(other.read_response()));
  std::thread stopper([&] { f.server.stop(10); });
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  other.send(kHoldRequest);
  EXPECT_EQ(503, status_of(other.read_all()));
  reply->write("data: last\n\n");
  reply->end();
  stopper.join();
  client.read_until("0\r\n\r\n");
  EXPECT_TRUE(client.received().ends_with("data: last\n\n\r\n0\r\n\r\n"));
  EXPECT_TRUE(client.closed_within(1000));
  f.server.stop(10);  // a second stop does nothing
}

TEST(HttpStream, StopCutsWhatOutlivesTheDrain) {
  Fixture f;
  std::vector<std::unique_ptr<TestClient>> clients;
  std::vector<std::shared_ptr<HttpReply>> replies;
  for (int i = 0; i < 20; ++i) {
    clients.push_back(std::make_unique<TestClient>(f.server.port()));
    clients.back()->send(kStreamRequest);
    replies.push_back(f.held.take());
  }
  std::atomic<bool> writing{true};
  std::thread writer([&] {
    while (writing) {
      for (const auto& reply : replies) reply->write("data: x\n\n");
    }
  });
  f.server.stop(0.1);
  EXPECT_EQ(20, f.gone.count());
  writing = false;
  writer.join();
  for (const auto& client : clients) EXPECT_TRUE(client->closed_within(1000));
}

TEST(HttpStream, AReplyMayOutliveItsServer) {
  std::shared_ptr<HttpReply> reply;
  {
    Fixture f;
    TestClient client(f.server.port());
    client.send(kStreamRequest);
    reply = f.held.take();
  }
  reply->write("x");
  reply->end();
}

TEST(HttpStream, ManyWritersToManyStreams) {
  auto options = test_options();
  options.io_threads = 2;
  Fixture f(options);
  constexpr int kStreams = 32, kEvents = 200;
  std::vector<std::unique_ptr<TestClient>> clients;
  std::vector<std::shared_ptr<HttpReply>> replies;
  for (int i = 0; i < kStreams; ++i) {
    clients.push_back(std::make_unique<TestClient>(f.server.port()));
    clients.back()->send(kStreamRequest);
    replies.push_back(f.held.take());
  }
  std::thread writers[2];
  for (int w = 0; w < 2; ++w) {
    writers[w] = std::thread([&, w] {
      for (int e = 0; e < kEvents; ++e) {
        for (int i = w; i < kStreams; i += 2) replies[i]->write(std::to_string(e) + ",");
      }
      for (int i = w; i < kStreams; i += 2) replies[i]->end();
    });
  }
  std::string want;
  for (int e = 0; e < kEvents; ++e) want += std::to_string(e) + ",";
  for (const auto& client : clients) {
    ASSERT_TRUE(client->read_until("\r\n0\r\n\r\n"));
    EXPECT_EQ(want, unchunk(client->received()));
  }
  for (auto& writer : writers) writer.join();
}

}  // namespace
}  // namespace polymath::server
