// The client against servers of a few lines: connections kept and lost, answers cut anywhere, refusals, silence.

#include "commands/http/http_client.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <functional>
#include <thread>

#include "base/clock.h"

namespace polymath::commands::http {
namespace {

constexpr const char* kOk = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
constexpr const char* kClose = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok";

// Listens on a free port and gives each connection to `serve`, one after the other, `n` in all.
class Server {
 public:
  Server(int n, std::function<void(int fd, int index)> serve) : fd_(socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof address;
    EXPECT_EQ(bind(fd_, reinterpret_cast<sockaddr*>(&address), length), 0);
    EXPECT_EQ(listen(fd_, 16), 0);
    getsockname(fd_, reinterpret_cast<sockaddr*>(&address), &length);
    target.host = "127.0.0.1";
    target.port = ntohs(address.sin_port);
    thread_ = std::thread([this, n, serve] {
      for (int i = 0; i < n; ++i) {
        const int connection = accept(fd_, nullptr, nullptr);
        serve(connection, i);
        close(connection);
      }
    });
  }
  ~Server() {
    thread_.join();
    close(fd_);
  }

  Target target;

 private:
  const int fd_;
  std::thread thread_;
};

// Reads up to a request's end; false: the peer closed.
bool read_request(int fd) {
  std::string bytes;
  char buffer[4096];
  while (bytes.find("\r\n\r\n{}") == std::string::npos) {
    const ssize_t n = recv(fd, buffer, sizeof buffer, 0);
    if (n <= 0) return false;
    bytes.append(buffer, static_cast<size_t>(n));
  }
  return true;
}

void say(int fd, std::string_view bytes) { send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL); }

struct Answer : ResponseHandler {
  absl::Status on_body(const ResponseHead&, std::string_view piece, double) override {
    body += piece;
    ++pieces;
    return refuse;
  }
  void on_end(const absl::Status& end, const ResponseHead& head, double) override {
    ++ends;
    status = end;
    code = head.status;
  }
  std::string body;
  int pieces = 0, ends = 0, code = 0;
  absl::Status status, refuse;
};

void ask(HttpClient& client, const Target& target, Answer& answer) {
  client.send(request_bytes(target, "/", "{}"), answer);
  const double until = base::steady_seconds() + 20;
  while (answer.ends == 0 && base::steady_seconds() < until) ASSERT_TRUE(client.poll(0.1).ok());
  EXPECT_EQ(answer.ends, 1);
}

std::unique_ptr<HttpClient> client_of(const Server& server, double timeout_s = 20) {
  auto client = HttpClient::make(server.target, {.connections_max = 2, .timeout_s = timeout_s});
  EXPECT_TRUE(client.ok()) << client.status();
  return *std::move(client);
}

TEST(HttpClient, OneConnectionCarriesManyRequests) {
  Server server(1, [](int fd, int) {
    while (read_request(fd)) say(fd, kOk);
  });
  auto client = client_of(server);
  for (int i = 0; i < 5; ++i) {
    Answer answer;
    ask(*client, server.target, answer);
    EXPECT_TRUE(answer.status.ok()) << answer.status;
    EXPECT_EQ(answer.body, "ok");
  }
  client.reset();
}

TEST(HttpClient, AClosedConnectionIsReplaced) {
  Server server(3, [](int fd, int index) {
    read_request(fd);
    say(fd, index == 0 ? kClose : kOk);  // the second closes without saying so
  });
  auto client = client_of(server);
  for (int i = 0; i < 3; ++i) {
    Answer answer;
    ask(*client, server.target, answer);
    EXPECT_TRUE(answer.status.ok()) << answer.status;
  }
}

TEST(HttpClient, PiecesAsTheyArrive) {
  Server server(1, [](int fd, int) {
    read_request(fd);
    for (const char* piece :
         {"HTTP/1.1 200 OK\r\nTransfer-Enc", "oding: chunked\r\n\r\n3", "\r\nab", "c\r\n0\r\n", "\r\n"}) {
      say(fd, piece);
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
  });
  auto client = client_of(server);
  Answer answer;
  ask(*client, server.target, answer);
  EXPECT_TRUE(answer.status.ok()) << answer.status;
  EXPECT_EQ(answer.body, "abc");
  EXPECT_EQ(answer.pieces, 2);
}

struct FailingServer {
  const char* name;
  std::function<void(int fd)> serve;
  absl::StatusCode code;
};

TEST(HttpClient, Failures) {
  using enum absl::StatusCode;
  const FailingServer failures[] = {
      {"closes at once", [](int) {}, kUnavailable},
      {"stops in the midst",
       [](int fd) { read_request(fd), say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab"); }, kUnavailable},
      {"speaks no HTTP", [](int fd) { read_request(fd), say(fd, "SSH-2.0\r\n"); }, kInvalidArgument},
      {"a huge head", [](int fd) { read_request(fd), say(fd, "HTTP/1.1 200 OK\r\nA: " + std::string(100000, 'x')); },
       kResourceExhausted},
      {"says nothing",
       [](int fd) {
         char byte;
         while (recv(fd, &byte, 1, 0) > 0) continue;
       },
       kDeadlineExceeded},
  };
  for (const FailingServer& failure : failures) {
    Server server(1, [&](int fd, int) { failure.serve(fd); });
    auto client = client_of(server, 0.5);
    Answer answer;
    ask(*client, server.target, answer);
    EXPECT_EQ(answer.status.code(), failure.code) << failure.name << ": " << answer.status;
    EXPECT_EQ(client->in_flight(), 0);
  }
}

TEST(HttpClient, AHandlersErrorEndsTheExchange) {
  Server server(1, [](int fd, int) {
    read_request(fd);
    say(fd, "HTTP/1.1 200 OK\r\n\r\nabc");
    read_request(fd);  // waits for the close
  });
  auto client = client_of(server);
  Answer answer;
  answer.refuse = absl::DataLossError("no");
  ask(*client, server.target, answer);
  EXPECT_EQ(answer.status.code(), absl::StatusCode::kDataLoss);
}

TEST(HttpClient, NoServer) {
  Target target{.host = "127.0.0.1", .port = 1};
  auto client = HttpClient::make(target, {.connections_max = 1});
  ASSERT_TRUE(client.ok());
  Answer answer;
  ask(**client, target, answer);
  EXPECT_EQ(answer.status.code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(answer.code, 0);
}

}  // namespace
}  // namespace polymath::commands::http
