// The response parser: every framing at every cut position, and what is no response.

#include "commands/http/response.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace polymath::commands::http {
namespace {

struct Outcome {
  absl::Status status;
  std::string body;
  size_t taken = 0;
  bool complete = false;
  ResponseHead head;
};

// The pieces one after the other; then the peer closes, if `closes`.
Outcome read(const std::vector<std::string>& pieces, bool closes, const ResponseLimits& limits = {}) {
  ResponseParser parser(limits);
  Outcome out;
  for (const std::string& piece : pieces) {
    const auto taken = parser.feed(piece, out.body);
    out.status = taken.status();
    if (!taken.ok()) return out;
    out.taken += *taken;
  }
  if (closes) out.status = parser.end_of_stream();
  out.complete = parser.complete();
  out.head = parser.head();
  return out;
}

struct Good {
  const char* name;
  std::string bytes;
  int status;
  std::string body;
  bool keep_alive;
  bool closes = false;
};

std::vector<Good> good_responses() {
  return {
      {"length", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", 200, "hello", true},
      {"bare line feeds", "HTTP/1.1 200 OK\nContent-Length:5\n\nhello", 200, "hello", true},
      {"empty", "HTTP/1.1 503 Busy\r\ncontent-length: 0\r\nConnection: close\r\n\r\n", 503, "", false},
      {"no words", "HTTP/1.1 404\r\nContent-Length: 2\r\n\r\nno", 404, "no", true},
      {"the same length twice", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx", 200, "x", true},
      {"no content", "HTTP/1.1 204 No Content\r\n\r\n", 204, "", true},
      {"chunks",
       "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n00A;x=\"y\"\r\n0123456789\r\n0\r\n\r\n", 200,
       "abc0123456789", true},
      {"trailers", "HTTP/1.1 200 OK\r\ntransfer-encoding: Chunked\r\n\r\n1\r\nx\r\n0\r\nA: b\r\n\r\n", 200, "x", true},
      {"both framings", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 200, "",
       false},
      {"continue", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx", 200, "x", true},
      {"until the close", "HTTP/1.1 200 OK\r\n\r\nall of it", 200, "all of it", false, true},
      {"1.0", "HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx", 200, "x", false},
      {"1.0 kept alive", "HTTP/1.0 200 OK\r\nConnection: foo, Keep-Alive\r\nContent-Length: 1\r\n\r\nx", 200, "x",
       true},
  };
}

TEST(ResponseParser, EveryFramingAtEveryCut) {
  for (const Good& good : good_responses()) {
    for (size_t cut = 0; cut <= good.bytes.size(); ++cut) {
      const Outcome out = read({good.bytes.substr(0, cut), good.bytes.substr(cut)}, good.closes);
      ASSERT_TRUE(out.status.ok()) << good.name << " cut at " << cut << ": " << out.status;
      EXPECT_TRUE(out.complete) << good.name << " cut at " << cut;
      EXPECT_EQ(out.head.status, good.status) << good.name;
      EXPECT_EQ(out.body, good.body) << good.name << " cut at " << cut;
      EXPECT_EQ(out.head.keep_alive, good.keep_alive) << good.name;
      EXPECT_EQ(out.taken, good.bytes.size()) << good.name;
    }
    std::vector<std::string> bytes;
    for (const char c : good.bytes) bytes.emplace_back(1, c);
    EXPECT_EQ(read(bytes, good.closes).body, good.body) << good.name << " byte by byte";
  }
}

TEST(ResponseParser, LeavesTheNextResponseAlone) {
  const std::string one = "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx", next = "HTTP/1.1 500";
  const Outcome out = read({one + next}, false);
  EXPECT_TRUE(out.complete);
  EXPECT_EQ(out.taken, one.size());
  ResponseParser parser({});
  std::string body;
  ASSERT_TRUE(parser.feed(one, body).ok());
  parser.restart();
  ASSERT_TRUE(parser.feed("HTTP/1.1 400 No\r\nContent-Length: 1\r\n\r\ny", body).ok());
  EXPECT_TRUE(parser.complete());
  EXPECT_EQ(parser.head().status, 400);
  EXPECT_EQ(body, "xy");
}

TEST(ResponseParser, MediaTypes) {
  const Outcome out = read({"HTTP/1.1 200 OK\r\nContent-Type: Text/Event-Stream; charset=utf-8\r\n\r\n"}, true);
  EXPECT_EQ(out.head.media_type, "text/event-stream");
}

TEST(ResponseParser, WhatIsNoResponse) {
  const std::string ok = "HTTP/1.1 200 OK\r\n";
  const std::string chunked = ok + "Transfer-Encoding: chunked\r\n\r\n";
  const std::string bad[] = {
      "\r\n",
      "SSH-2.0-x\r\n",
      "HTTP/2 200 OK\r\n",
      "HTTP/1.1 20 OK\r\n",
      "HTTP/1.1 2000 OK\r\n",
      "HTTP/1.1 099 OK\r\n",
      "HTTP/1.1 101 Switching\r\n\r\n",
      ok + "no colon\r\n",
      ok + ": x\r\n",
      ok + " folded: x\r\n",
      ok + "a b: x\r\n",
      ok + "Content-Length: -1\r\n",
      ok + "Content-Length: 1x\r\n",
      ok + "Content-Length: 99999999999999999999999\r\n",
      ok + "Content-Length: 1\r\nContent-Length: 2\r\n",
      ok + "Transfer-Encoding: gzip\r\n",
      ok + "Transfer-Encoding: gzip, chunked\r\n",
      chunked + "\r\n",
      chunked + "x\r\n",
      chunked + "-1\r\n",
      chunked + "1234567890123456\r\n",
      chunked + "1\r\nxy\r\n",
  };
  for (const std::string& bytes : bad) {
    EXPECT_EQ(read({bytes}, false).status.code(), absl::StatusCode::kInvalidArgument) << bytes;
  }
}

TEST(ResponseParser, Limits) {
  const ResponseLimits limits{.head_bytes_max = 64, .body_bytes_max = 8};
  const std::string ok = "HTTP/1.1 200 OK\r\n", chunked = ok + "Transfer-Encoding: chunked\r\n\r\n";
  const std::string over[] = {
      ok + "a: " + std::string(80, 'x'),
      ok + "a: b\r\nc: d\r\ne: f\r\ng: h\r\ni: j\r\nk: l\r\nm: n\r\no: p\r\nq: r\r\n",
      chunked + std::string(100, '1'),
      chunked + "4\r\nabcd\r\n5\r\nabcde",
      ok + "\r\n123456789",
      ok + "Content-Length: 9\r\n\r\n123456789",
      chunked + "0\r\n" + std::string(70, 'x'),
  };
  for (const std::string& bytes : over) {
    EXPECT_EQ(read({bytes}, false, limits).status.code(), absl::StatusCode::kResourceExhausted) << bytes;
  }
  std::string many = chunked;  // the lines of many chunks together may be longer
  for (int i = 0; i < 8; ++i) many += "1;" + std::string(40, 'e') + "\r\nx\r\n";
  EXPECT_TRUE(read({many + "0\r\n\r\n"}, false, limits).complete);
}

TEST(ResponseParser, ACloseInTheMidst) {
  for (const char* bytes : {"", "HTTP/1.1 2", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell",
                            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n"}) {
    EXPECT_EQ(read({bytes}, true).status.code(), absl::StatusCode::kUnavailable) << bytes;
  }
}

TEST(ResponseParser, HeadersAreKeptWhereAsked) {
  constexpr std::string_view kBytes =
      "HTTP/1.1 302 Found\r\nLOCATION:  /x \r\nX-A: 1\r\nx-a: 2\r\nContent-Length: 0\r\n\r\n";
  for (const bool keep : {false, true}) {
    ResponseParser parser({.keep_headers = keep});
    std::string body;
    ASSERT_TRUE(parser.feed(kBytes.substr(0, 30), body).ok());
    EXPECT_FALSE(parser.has_head());
    ASSERT_TRUE(parser.feed(kBytes.substr(30), body).ok());
    EXPECT_TRUE(parser.has_head() && parser.complete());
    EXPECT_EQ(parser.head().header("location"), keep ? "/x" : "");
    EXPECT_EQ(parser.head().header("x-a"), keep ? "1" : "");
    EXPECT_EQ(parser.head().header("none"), "");
  }
}

}  // namespace
}  // namespace polymath::commands::http
