// Events are the same wherever their bytes are cut.

#include "commands/http/sse.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace polymath::commands::http {
namespace {

std::vector<std::string> events(const std::vector<std::string>& pieces) {
  SseSplitter splitter(1 << 10);
  std::vector<std::string> out;
  for (const std::string& piece : pieces) {
    const absl::Status status = splitter.feed(piece, [&](std::string_view data) {
      out.emplace_back(data);
      return absl::OkStatus();
    });
    EXPECT_TRUE(status.ok()) << status;
  }
  return out;
}

struct Case {
  std::string bytes;
  std::vector<std::string> events;
};

TEST(SseSplitter, EveryCut) {
  const Case cases[] = {
      {"data: a\n\ndata: b\n\n", {"a", "b"}},
      {"data:{\"x\":1}\r\n\r\ndata: [DONE]\r\n\r\n", {"{\"x\":1}", "[DONE]"}},
      {"data: a\r\rdata: b\r\r", {"a", "b"}},
      {"data: a\ndata: b\r\ndata:  c\r\n\n", {"a\nb\n c"}},
      {": keep-alive\ndata: a\n\n: c\n\n: d\n\n", {"a"}},
      {"event: x\nid: 7\nretry: 5\ndata: a\n\n", {"a"}},
      {"event: nothing\n\ndata: a\n\n", {"a"}},
      {"data\n\n", {""}},
      {"data:\n\n", {""}},
      {"datax: a\n\ndata: b\n\n", {"b"}},
      {"\xef\xbb\xbf"
       "data: a\n\n",
       {"a"}},
      {"data: no blank line\n", {}},
      {"data: \xc3\xa9\xe4\xb8\xad\n\n", {"\xc3\xa9\xe4\xb8\xad"}},
      {"\n\r\n\rdata: a\n\n\n\n", {"a"}},
  };
  for (const Case& c : cases) {
    for (size_t first = 0; first <= c.bytes.size(); ++first) {
      for (size_t second = first; second <= c.bytes.size(); ++second) {
        const std::vector<std::string> pieces = {c.bytes.substr(0, first), c.bytes.substr(first, second - first),
                                                 c.bytes.substr(second)};
        ASSERT_EQ(events(pieces), c.events) << c.bytes << " cut at " << first << " and " << second;
      }
    }
  }
}

TEST(SseSplitter, Limits) {
  SseSplitter splitter(32);
  const auto skip = [](std::string_view) { return absl::OkStatus(); };
  for (int i = 0; i < 100; ++i) ASSERT_TRUE(splitter.feed(": a comment of no event\n", skip).ok());
  for (int i = 0; i < 100; ++i) ASSERT_TRUE(splitter.feed("data: 0123456789\n\n", skip).ok());
  EXPECT_EQ(splitter.feed("data: " + std::string(40, 'x'), skip).code(), absl::StatusCode::kResourceExhausted);
  SseSplitter lines(32);
  absl::Status status;
  for (int i = 0; i < 10 && status.ok(); ++i) status = lines.feed("data: 0\n", skip);
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
}

TEST(SseSplitter, AnErrorOfTheReaderEndsTheCall) {
  SseSplitter splitter(64);
  int n = 0;
  const auto status = splitter.feed("data: a\n\ndata: b\n\n", [&](std::string_view) {
    ++n;
    return absl::DataLossError("x");
  });
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(n, 1);
}

}  // namespace
}  // namespace polymath::commands::http
