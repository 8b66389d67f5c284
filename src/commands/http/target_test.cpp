// Base URLs, headers, and requests as bytes.

#include "commands/http/target.h"

#include <gtest/gtest.h>

namespace polymath::commands::http {
namespace {

TEST(Target, BaseUrls) {
  struct Case {
    const char* url;
    const char* host;
    int port;
    const char* base_path;
    const char* authority;
  };
  const Case cases[] = {
      {"http://a", "a", 80, "", "a:80"},
      {"http://a:8000", "a", 8000, "", "a:8000"},
      {"http://127.0.0.1:1/", "127.0.0.1", 1, "", "127.0.0.1:1"},
      {"http://a/x/y//", "a", 80, "/x/y", "a:80"},
      {"http://[::1]:9/x", "::1", 9, "/x", "[::1]:9"},
      {"http://[::1]", "::1", 80, "", "[::1]:80"},
  };
  for (const Case& c : cases) {
    const auto target = parse_base_url(c.url);
    ASSERT_TRUE(target.ok()) << c.url << target.status();
    EXPECT_EQ(target->host, c.host);
    EXPECT_EQ(target->port, c.port);
    EXPECT_EQ(target->base_path, c.base_path);
    EXPECT_EQ(target->authority(), c.authority);
  }
  for (const char* url :
       {"", "a:80", "ftp://a", "http://", "http://:80", "http://a:", "http://a:0", "http://a:70000", "http://a:x",
        "http://[::1", "http://[::1]x", "http://a b", "http://a?x", "http://u@a", "http://a\r\nX: y"}) {
    EXPECT_EQ(parse_base_url(url).status().code(), absl::StatusCode::kInvalidArgument) << url;
  }
  const auto https = parse_base_url("https://a");
  EXPECT_EQ(https.status().code(), absl::StatusCode::kUnimplemented);
  EXPECT_NE(std::string(https.status().message()).find("https is not built"), std::string::npos);
}

TEST(Target, Headers) {
  EXPECT_EQ(*parse_header("X-Team=a b"), "X-Team: a b");
  EXPECT_EQ(*parse_header("X-Team: a=b"), "X-Team: a=b");
  for (const char* text : {"", "x", "=a", "a b=c", "a=b\r\nc: d", "Host=x", "content-length=5", "Connection: close"}) {
    EXPECT_FALSE(parse_header(text).ok()) << text;
  }
}

TEST(Target, Requests) {
  const Target target{.host = "h", .port = 9, .base_path = "/b", .headers = {"A: c"}};
  EXPECT_EQ(request_bytes(target, "/p", "{}"),
            "POST /b/p HTTP/1.1\r\nHost: h:9\r\nUser-Agent: polymath-bench\r\nAccept: */*\r\nA: c\r\n"
            "Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}");
  EXPECT_EQ(request_bytes(target, "/p", ""),
            "GET /b/p HTTP/1.1\r\nHost: h:9\r\nUser-Agent: polymath-bench\r\nAccept: */*\r\nA: c\r\n\r\n");
}

}  // namespace
}  // namespace polymath::commands::http
