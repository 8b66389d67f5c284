#include "server/http_server.h"

#include <atomic>
#include <fstream>
#include <thread>

#include "server/test_client.h"

namespace polymath::server {
namespace {

void add_routes(HttpServer& server) {
  server.route("POST", "/echo", [](const HttpRequest& request, const std::shared_ptr<HttpReply>& reply) {
    reply->send(200, "text/plain", request.body, {{"X-Query", request.query}});
  });
  server.route("GET", "/hello", [](const HttpRequest&, const std::shared_ptr<HttpReply>& reply) {
    reply->send(200, "text/plain", "hello");
  });
  server.route("GET", "/a b", [](const HttpRequest&, const std::shared_ptr<HttpReply>& reply) {
    reply->send(200, "text/plain", "space");
  });
  server.route("GET", "/drop", [](const HttpRequest&, const std::shared_ptr<HttpReply>&) {});
  server.route("GET", "/throw", [](const HttpRequest&, const std::shared_ptr<HttpReply>&) {
    throw std::runtime_error("thrown by the test");
  });
  server.route("GET", "/inject", [](const HttpRequest&, const std::shared_ptr<HttpReply>& reply) {
    reply->send(200, "text/plain", "x", {{"X-A", "1\r\nX-B: 2"}, {"Content-Length", "7"}, {"b@d", "x"}});
  });
}

std::string post(std::string_view headers, std::string_view body = "") {
  return "POST /echo HTTP/1.1\r\nHost: t\r\n" + std::string(headers) + "\r\n" + std::string(body);
}
std::string get(std::string_view path, std::string_view headers = "") {
  return "GET " + std::string(path) + " HTTP/1.1\r\nHost: t\r\n" + std::string(headers) + "\r\n";
}

std::string host(std::string_view value) { return "GET /hello HTTP/1.1\r\nHost: " + std::string(value) + "\r\n\r\n"; }

struct Row {
  const char* name;
  std::string bytes;
  int status;  // 0: closed without a response
};

std::vector<Row> rows() {
  return {
      {"get", get("/hello"), 200},
      {"query", get("/hello?a=%zz"), 200},
      {"escaped path", get("/a%20b"), 200},
      {"absolute form", get("http://any:80/hello"), 200},
      {"empty lines first", "\r\n\r\n" + get("/hello"), 200},
      {"post", post("Content-Length: 3\r\n", "abc"), 200},
      {"chunked", post("Transfer-Encoding: chunked\r\n", "3\r\nabc\r\n2;x=1\r\nde\r\n0\r\nT: 1\r\n\r\n"), 200},
      {"identity", post("Content-Encoding: identity\r\nContent-Length: 0\r\n"), 200},
      {"http/1.0", "GET /hello HTTP/1.0\r\n\r\n", 200},
      {"unknown path", get("/nothing"), 404},
      {"wrong method", "DELETE /hello HTTP/1.1\r\nHost: t\r\n\r\n", 405},
      {"odd method", "BREW /hello HTTP/1.1\r\nHost: t\r\n\r\n", 405},
      {"bad escape", get("/a%2"), 400},
      {"bad escape digits", get("/%g0"), 400},
      {"NUL in path", get("/a%00"), 400},
      {"fragment", get("/hello#x"), 400},
      {"no slash", get("hello"), 400},
      {"no host", "GET /hello HTTP/1.1\r\n\r\n", 400},
      {"two hosts", get("/hello", "Host: u\r\n"), 400},
      {"host with a path", host("a/b"), 400},
      {"host with a user", host("u@a"), 400},
      {"host with a blank", host("a b"), 400},
      {"host with a quote", host("a\"b"), 400},
      {"host with two ports", host("a:1:2"), 400},
      {"host with a name as port", host("a:b"), 400},
      {"host is a port", host(":80"), 400},
      {"half an address", host("[::1"), 400},
      {"empty address", host("[]"), 400},
      {"empty host", host(""), 200},
      {"host and port", host("a-b.c_d:80"), 200},
      {"address and port", host("[::1]:80"), 200},
      {"target with a user", get("http://u@any/hello"), 400},
      {"not http", "\x16\x03\x01 nonsense\r\n\r\n", 400},
      {"http/2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400},
      {"http/0.9", "GET /hello\r\n\r\n", 400},
      {"space before colon", get("/hello", "A : b\r\n"), 400},
      {"bare LF", "GET /hello HTTP/1.1\nHost: t\n\n", 400},
      {"length and chunks", post("Content-Length: 3\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"), 400},
      {"chunks and length", post("Transfer-Encoding: chunked\r\nContent-Length: 3\r\n", "0\r\n\r\n"), 400},
      {"differing lengths", post("Content-Length: 3\r\nContent-Length: 4\r\n", "abcd"), 400},
      {"length list differs", post("Content-Length: 3, 4\r\n", "abcd"), 400},
      {"negative length", post("Content-Length: -1\r\n"), 400},
      {"length too big for a number", post("Content-Length: 99999999999999999999\r\n"), 400},
      {"bad chunk size", post("Transfer-Encoding: chunked\r\n", "zz\r\nabc\r\n0\r\n\r\n"), 400},
      {"chunk size overflow", post("Transfer-Encoding: chunked\r\n", "11111111111111111\r\nabc"), 400},
      {"chunk longer than said", post("Transfer-Encoding: chunked\r\n", "2\r\nabc\r\n0\r\n\r\n"), 400},
      {"other coding", post("Transfer-Encoding: gzip, chunked\r\n", "0\r\n\r\n"), 501},
      {"coding twice", post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"), 400},
      {"chunked in 1.0", "POST /echo HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
      {"compressed", post("Content-Encoding: gzip\r\nContent-Length: 1\r\n", "x"), 415},
      {"odd expectation", post("Expect: tea\r\nContent-Length: 1\r\n", "x"), 417},
      {"body too large", post("Content-Length: 2000\r\n"), 413},
      {"chunks too large", post("Transfer-Encoding: chunked\r\n", "7d0\r\n"), 413},
      {"target too long", get("/" + std::string(600, 'a')), 414},
      {"endless line", std::string(4000, 'a'), 414},
      {"headers too large", get("/hello", "A: " + std::string(1500, 'a') + "\r\n"), 431},
      {"endless headers", "GET /hello HTTP/1.1\r\nA: " + std::string(1500, 'a'), 431},
      {"dropped reply", get("/drop"), 500},
      {"throwing handler", get("/throw"), 500},
      {"half a head", "GET /hel", 400},
      {"half a body", post("Content-Length: 3\r\n", "a"), 400},
      {"nothing", "", 0},
      {"options", "OPTIONS /hello HTTP/1.1\r\nHost: t\r\n\r\n", 204},
      {"options of the server", "OPTIONS * HTTP/1.1\r\nHost: t\r\n\r\n", 204},
      {"options of nothing", "OPTIONS /nothing HTTP/1.1\r\nHost: t\r\n\r\n", 404},
  };
}

TEST(HttpServer, BytesToStatus) {
  auto options = test_options();
  options.limits.header_bytes_max = 1024;
  options.limits.target_bytes_max = 512;
  options.limits.body_bytes_max = 1000;
  HttpServer server(options);
  add_routes(server);
  ASSERT_TRUE(server.start().ok());
  for (const Row& row : rows()) {
    TestClient whole(server.port());
    whole.send(row.bytes);
    whole.half_close();
    std::string response = whole.read_all();
    EXPECT_EQ(row.status, status_of(response)) << row.name << "\n" << response;
    if (row.bytes.size() > 400) continue;
    TestClient bytewise(server.port());  // the same bytes, one at a time
    for (const char c : row.bytes) bytewise.send({&c, 1});
    bytewise.half_close();
    response = bytewise.read_all();
    EXPECT_EQ(row.status, status_of(response)) << row.name << ", byte by byte";
  }
}

TEST(HttpServer, ResponseHeaders) {
  HttpServer server(test_options());
  add_routes(server);
  ASSERT_TRUE(server.start().ok());
  TestClient client(server.port());
  client.send("POST /echo?x=1&y=%20 HTTP/1.1\r\nHost: t\r\nContent-Length: 4\r\n\r\nbody");
  const std::string echo = client.read_response();
  EXPECT_NE(std::string::npos, echo.find("\r\nX-Query: x=1&y=%20\r\n"));
  EXPECT_NE(std::string::npos, echo.find("\r\nContent-Length: 4\r\n"));
  EXPECT_NE(std::string::npos, echo.find("\r\nServer: polymath\r\n"));
  EXPECT_NE(std::string::npos, echo.find(" GMT\r\n"));
  EXPECT_EQ(std::string::npos, echo.find("Connection:"));
  client.send(get("/inject"));
  const std::string tamed = client.read_response();
  EXPECT_NE(std::string::npos, tamed.find("\r\nX-A: 1  X-B: 2\r\n"));
  EXPECT_EQ(std::string::npos, tamed.find("Content-Length: 7")) << "the server writes it";
  EXPECT_EQ(std::string::npos, tamed.find("b@d"));
  client.send("HEAD /hello HTTP/1.1\r\nHost: t\r\n\r\n");
  ASSERT_TRUE(client.read_until("\r\n\r\n"));
  EXPECT_NE(std::string::npos, client.received().find("Content-Length: 5"));
  EXPECT_EQ("", body_of(client.received()));
  TestClient old(server.port());
  old.send("GET /hello HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
  EXPECT_NE(std::string::npos, old.read_all().find("Connection: close"));
  TestClient wrong(server.port());
  wrong.send("DELETE /hello HTTP/1.1\r\nHost: t\r\n\r\n");
  EXPECT_NE(std::string::npos, wrong.read_response().find("Allow: GET, HEAD, OPTIONS"));
}

TEST(HttpServer, AMissNamesTheNearestRoute) {
  HttpServer server(test_options());
  const auto answer = [](const HttpRequest& request, std::shared_ptr<HttpReply> reply) {
    reply->send(200, "text/plain", request.path);
  };
  for (const char* path : {"/v1/completions", "/v1/chat/completions", "/generate"}) server.route("POST", path, answer);
  for (const char* path : {"/v1/models", "/v1/models/*", "/health", "/"}) server.route("GET", path, answer);
  ASSERT_TRUE(server.start().ok());
  TestClient client(server.port());
  const struct {
    const char *method, *path;
    int status;
    const char* body;  // a part of it
  } rows[] = {
      {"GET", "/v1/models/org/name", 200, "/v1/models/org/name"},
      {"GET", "/v1/models", 200, "/v1/models"},
      {"GET", "/v1/models/", 404, "there is no GET /v1/models/; the nearest is GET /v1/models"},
      {"POST", "/v1/chat/completion", 404, "no POST /v1/chat/completion; the nearest is POST /v1/chat/completions"},
      {"POST", "/chat/completions", 404, "the nearest is POST /v1/chat/completions"},
      {"POST", "/v1/v1/chat/completions", 404, "the nearest is POST /v1/chat/completions"},
      {"POST", "/completions", 404, "the nearest is POST /v1/completions"},
      {"GET", "/healthz", 404, "the nearest is GET /health"},
      {"GET", "/v1/chat/completions", 405, "does not take GET; it takes POST, OPTIONS"},
      {"DELETE", "/v1/models/x", 405, "does not take DELETE; it takes GET, HEAD, OPTIONS"},
      {"GET", "/%22%5C%0A%C3%A4", 404, "there is no GET /?????;"},
  };
  for (const auto& row : rows) {
    client.send(std::string(row.method) + " " + row.path + " HTTP/1.1\r\nHost: t\r\n\r\n");
    const std::string response = client.read_response();
    EXPECT_EQ(status_of(response), row.status) << row.path;
    EXPECT_NE(body_of(response).find(row.body), std::string::npos) << row.path << body_of(response);
  }
}

TEST(HttpServer, Cors) {
  struct Case {
    std::vector<std::string> allowed;
    std::string want;  // of Access-Control-Allow-Origin; empty: none
  };
  for (const auto& [allowed, want] : {Case{{"*"}, "*"}, Case{{"http://b", "http://a"}, "http://a"}, Case{{}, ""}}) {
    auto options = test_options();
    options.cors_origins = allowed;
    HttpServer server(options);
    add_routes(server);
    ASSERT_TRUE(server.start().ok());
    TestClient client(server.port());
    client.send(get("/hello", "Origin: http://a\r\n"));
    const std::string line = "Access-Control-Allow-Origin: " + want;
    EXPECT_EQ(!want.empty(), client.read_response().find(line) != std::string::npos);
    client.send(
        "OPTIONS /echo HTTP/1.1\r\nHost: t\r\nOrigin: http://a\r\nAccess-Control-Request-Method: POST\r\n"
        "Access-Control-Request-Headers: authorization\r\n\r\n");
    const std::string preflight = client.read_response();
    EXPECT_EQ(204, status_of(preflight));
    EXPECT_EQ(!want.empty(), preflight.find("Access-Control-Allow-Headers: authorization") != std::string::npos);
  }
}

TEST(HttpServer, PipelinedRequestsAreAnsweredInOrder) {
  HttpServer server(test_options());
  add_routes(server);
  ASSERT_TRUE(server.start().ok());
  TestClient client(server.port());
  std::string all;
  for (int i = 0; i < 300; ++i) {
    const std::string body = std::to_string(i);
    all += post("Content-Length: " + std::to_string(body.size()) + "\r\n", body);
  }
  std::thread sender([&] { client.send(all); });  // more than the read-ahead holds
  for (int i = 0; i < 300; ++i) EXPECT_EQ(std::to_string(i), body_of(client.read_response()));
  sender.join();
}

TEST(HttpServer, Expect100) {
  HttpServer server(test_options());
  add_routes(server);
  ASSERT_TRUE(server.start().ok());
  TestClient client(server.port());
  client.send(post("Expect: 100-continue\r\nContent-Length: 3\r\n"));
  EXPECT_EQ(100, status_of(client.read_response()));
  client.send("abc");
  EXPECT_EQ("abc", body_of(client.read_response()));
  TestClient refused(server.port());
  refused.send("POST /nothing HTTP/1.1\r\nHost: t\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n");
  EXPECT_EQ(404, status_of(refused.read_response()));
}

HttpServer::Admission only_key_k(const HttpRequest& head) {
  HttpServer::Admission out;
  if (head.header("authorization") == "Bearer k") {
    out.principal = "k";
    out.ticket = std::make_shared<int>(7);
  } else {
    out.refusal =
        std::make_unique<HttpServer::Refusal>(HttpServer::Refusal{401, "who?", {{"WWW-Authenticate", "Bearer"}}});
  }
  return out;
}

TEST(HttpServer, TheGateDecidesBeforeTheBody) {
  HttpServer server(test_options());
  server.route("POST", "/who", [](const HttpRequest& request, std::shared_ptr<HttpReply> reply) {
    reply->send(200, "text/plain",
                request.principal + std::to_string(*std::static_pointer_cast<int>(request.ticket)) + request.body);
  });
  server.set_gate(only_key_k);
  ASSERT_TRUE(server.start().ok());
  TestClient client(server.port());
  client.send("POST /who HTTP/1.1\r\nHost: t\r\nAuthorization: Bearer k\r\nContent-Length: 1\r\n\r\na");
  EXPECT_EQ("k7a", body_of(client.read_response()));
  // A small body is read, and the connection lives.
  client.send("POST /who HTTP/1.1\r\nHost: t\r\nContent-Length: 1\r\n\r\n");
  client.send("a" + get("/nothing") + get("/nothing", "Authorization: Bearer k\r\n"));
  EXPECT_EQ(401, status_of(client.read_response()));
  EXPECT_EQ(401, status_of(client.read_response())) << "which paths there are, only a key shows";
  EXPECT_EQ(404, status_of(client.read_response()));
  // Of a large or chunked body no byte is awaited.
  for (const char* framing :
       {"Content-Length: 30000000", "Transfer-Encoding: chunked", "Content-Length: 9\r\nExpect: 100-continue"}) {
    TestClient refused(server.port());
    refused.send(std::string("POST /who HTTP/1.1\r\nHost: t\r\n") + framing + "\r\n\r\n");
    const std::string answer = refused.read_all();
    EXPECT_EQ(401, status_of(answer)) << framing;
    EXPECT_NE(std::string::npos, answer.find("Connection: close")) << framing;
  }
}

TEST(HttpServer, GateErrorBodyAndMetrics) {
  base::MetricsRegistry registry;
  HttpServer server(test_options());
  add_routes(server);
  server.set_metrics(registry);
  server.set_error_body(
      [](const ServerError& error) { return "E" + std::to_string(error.status) + std::string(error.path); });
  server.set_gate(only_key_k);
  ASSERT_TRUE(server.start().ok());
  TestClient client(server.port());
  client.send(get("/hello"));
  const std::string refused = client.read_response();
  EXPECT_EQ(401, status_of(refused));
  EXPECT_NE(std::string::npos, refused.find("WWW-Authenticate: Bearer"));
  client.send(get("/hello", "Authorization: Bearer k\r\n"));
  EXPECT_EQ(200, status_of(client.read_response()));
  client.send("BREW /hello HTTP/1.1\r\nHost: t\r\n\r\n");
  EXPECT_EQ(401, status_of(client.read_response()));
  client.send(get("/nothing", "Authorization: Bearer k\r\n"));
  EXPECT_EQ("E404/nothing", body_of(client.read_response()));
  client.send("BREW /hello HTTP/1.1\r\nHost: t\r\nAuthorization: Bearer k\r\n\r\n");
  EXPECT_EQ("E405/hello", body_of(client.read_response()));
  TestClient large(server.port());
  large.send("POST /hello HTTP/1.1\r\nHost: t\r\nContent-Length: 99999999999\r\n\r\n");
  EXPECT_EQ("E413/hello", body_of(large.read_response()));
  client.send(get("/hello", "Authorization: Bearer k\r\n"));  // when it is answered, the others are counted
  EXPECT_EQ(200, status_of(client.read_response()));
  const std::string text = registry.render();
  for (const char* line : {R"(http_requests_total{handler="/hello",method="GET",status="4xx"} 1)",
                           R"(http_requests_total{handler="unknown",method="GET",status="4xx"} 1)",
                           R"(http_requests_total{handler="/hello",method="unknown",status="4xx"} 2)",
                           R"(http_request_duration_seconds_bucket{handler="/hello",method="GET",le="+Inf"})"}) {
    EXPECT_NE(std::string::npos, text.find(line)) << line << "\n" << text;
  }
}

TEST(HttpServer, Timeouts) {
  auto options = test_options();
  options.limits.header_timeout_s = 1;
  options.limits.body_timeout_s = 1;
  options.limits.idle_timeout_s = 1;
  HttpServer server(options);
  add_routes(server);
  ASSERT_TRUE(server.start().ok());
  TestClient silent(server.port()), slow_head(server.port()), slow_body(server.port()), idle(server.port());
  slow_head.send("GET /hello HTTP/1.1\r\nHo");
  slow_body.send(post("Content-Length: 3\r\n", "a"));
  idle.send(get("/hello"));
  EXPECT_EQ(200, status_of(idle.read_response()));
  EXPECT_EQ(408, status_of(slow_head.read_all()));
  EXPECT_EQ(408, status_of(slow_body.read_all()));
  EXPECT_EQ("", silent.read_all());
  EXPECT_TRUE(idle.closed_within(3000));
}

TEST(HttpServer, RequestsInFlightMax) {
  auto options = test_options();
  options.limits.requests_in_flight_max = 1;
  HttpServer server(options);
  HeldReply held;
  server.route("GET", "/hold",
               [&](const HttpRequest&, std::shared_ptr<HttpReply> reply) { held.put(std::move(reply)); });
  ASSERT_TRUE(server.start().ok());
  TestClient first(server.port()), second(server.port());
  first.send(get("/hold"));
  const auto reply = held.take();
  second.send(get("/hold"));
  const std::string refused = second.read_response();
  EXPECT_EQ(503, status_of(refused));
  EXPECT_NE(std::string::npos, refused.find("Retry-After: "));
  reply->send(200, "text/plain", "done");
  EXPECT_EQ("done", body_of(first.read_response()));
}

TEST(HttpServer, TwoHundredConnectionsAtOnce) {
  auto options = test_options();
  options.io_threads = 2;
  options.worker_threads = 4;
  HttpServer server(options);
  add_routes(server);
  ASSERT_TRUE(server.start().ok());
  std::atomic<int> good{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      std::vector<std::unique_ptr<TestClient>> clients;
      for (int i = 0; i < 50; ++i) clients.push_back(std::make_unique<TestClient>(server.port()));
      for (int round = 0; round < 3; ++round) {
        for (auto& client : clients) client->send(post("Content-Length: 3\r\n", "abc"));
        for (auto& client : clients) good += body_of(client->read_response()) == "abc";
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(600, good.load());
}

TEST(HttpServer, LargeBodiesBothWays) {
  HttpServer server(test_options());
  add_routes(server);
  ASSERT_TRUE(server.start().ok());
  TestClient client(server.port());
  const std::string body(8u << 20, 'x');
  client.send(post("Content-Length: " + std::to_string(body.size()) + "\r\n", body));
  EXPECT_EQ(body.size(), body_of(client.read_response()).size());
}

TEST(HttpServer, UnixSocket) {
  auto options = test_options();
  options.unix_socket = testing::TempDir() + "polymath_server_" + std::to_string(getpid()) + ".sock";
  {
    HttpServer server(options);
    add_routes(server);
    ASSERT_TRUE(server.start().ok());
    TestClient client(options.unix_socket);
    client.send(get("/hello"));
    EXPECT_EQ("hello", body_of(client.read_response()));
    HttpServer second(options);
    EXPECT_EQ(absl::StatusCode::kUnavailable, second.start().code());
  }
  EXPECT_NE(0, access(options.unix_socket.c_str(), F_OK)) << "the file goes with the server";
}

TEST(HttpServer, AddressesThatCannotBeServed) {
  HttpServer server(test_options());
  ASSERT_TRUE(server.start().ok());
  auto taken = test_options();
  taken.port = server.port();
  const absl::Status status = HttpServer(taken).start();
  EXPECT_EQ(absl::StatusCode::kUnavailable, status.code());
  EXPECT_NE(std::string::npos, std::string(status.message()).find(std::to_string(server.port())));
  auto foreign = test_options();
  foreign.host = "192.0.2.1";
  EXPECT_EQ(absl::StatusCode::kInvalidArgument, HttpServer(foreign).start().code());
  auto unpaired = test_options();
  unpaired.tls_key_file = "key";
  EXPECT_EQ(absl::StatusCode::kInvalidArgument, HttpServer(unpaired).start().code());
  auto long_path = test_options();
  long_path.unix_socket = std::string(200, 'a');
  EXPECT_EQ(absl::StatusCode::kInvalidArgument, HttpServer(long_path).start().code());
}

}  // namespace
}  // namespace polymath::server
