// Allocations that fail in the server's threads: each ends one request or connection, never the process.

#include <atomic>
#include <cstdlib>
#include <new>
#include <thread>

#include "server/http_server.h"
#include "server/test_client.h"

namespace {

std::atomic<uint64_t> fail_each{0};  // 0: no allocation fails
std::atomic<uint64_t> n_allocations{0}, n_failed{0};
thread_local bool is_spared = false;  // the test's own threads

void* allocate(size_t bytes, size_t align) {
  // A hash of the allocation's number, so that failures meet no rhythm of the code's own.
  const uint64_t each = fail_each.load(std::memory_order_relaxed);
  if (each > 0 && !is_spared && (n_allocations.fetch_add(1) * 0x9E3779B97F4A7C15u >> 32) % each == 0) {
    n_failed.fetch_add(1);
    throw std::bad_alloc();
  }
  void* const memory = align == 0 ? std::malloc(bytes) : std::aligned_alloc(align, (bytes + align - 1) / align * align);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}

}  // namespace

void* operator new(size_t bytes) { return allocate(bytes, 0); }
void* operator new(size_t bytes, std::align_val_t align) { return allocate(bytes, static_cast<size_t>(align)); }
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, size_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::align_val_t) noexcept { std::free(memory); }
void operator delete(void* memory, size_t, std::align_val_t) noexcept { std::free(memory); }

namespace polymath::server {
namespace {

class AllocationFailure : public testing::TestWithParam<uint64_t> {
 protected:
  void SetUp() override { is_spared = true; }
  void TearDown() override { fail_each = 0; }
};

std::string request(int i) {
  const std::string size = std::to_string(i % 7 == 0 ? 100'000 : 300);
  const char* const path = i % 3 == 0 ? "/stream" : "/echo";
  return "POST " + std::string(path) + " HTTP/1.1\r\nHost: t\r\nContent-Length: " + size + "\r\n\r\n" +
         std::string(std::stoul(size), 'x');
}

TEST_P(AllocationFailure, EndsOneRequestAlone) {
  HttpServer server(test_options());
  server.route("POST", "/echo", [](const HttpRequest& head, const std::shared_ptr<HttpReply>& reply) {
    reply->on_gone([body = head.body] {});
    reply->send(200, "text/plain", head.body);
  });
  server.route("POST", "/stream", [](const HttpRequest& head, const std::shared_ptr<HttpReply>& reply) {
    reply->start_stream(200, "text/event-stream", {{"X-Long", std::string(100, 'y')}});
    for (int i = 0; i < 20; ++i) reply->write("data: " + head.body.substr(0, 200) + "\n\n");
    reply->end();
  });
  ASSERT_TRUE(server.start().ok());
  n_failed = 0;
  fail_each = GetParam();
  int answered = 0;
  for (int i = 0; i < 300; ++i) {
    TestClient client(server.port());
    client.send(request(i));
    client.half_close();
    const int status = status_of(client.read_all());
    EXPECT_TRUE(status == 0 || status == 200 || status == 500 || status == 503) << status;
    answered += status != 0;
  }
  fail_each = 0;
  EXPECT_GT(n_failed, 0u);
  EXPECT_GT(answered, 0);
  for (int i = 0; i < 20; ++i) {
    TestClient client(server.port());
    client.send(request(1));
    EXPECT_EQ(200, status_of(client.read_response())) << "it goes on as before";
  }
}

INSTANTIATE_TEST_SUITE_P(OneInSoMany, AllocationFailure, testing::Values(11, 23, 61, 251));

}  // namespace
}  // namespace polymath::server
