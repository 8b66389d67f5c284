// URLs, and what redirects make of them.

#include "commands/http/url.h"

#include <gtest/gtest.h>

namespace polymath::commands::http {
namespace {

TEST(Url, Parts) {
  struct Case {
    const char* text;
    Url url;
    const char* authority;
  };
  const Case cases[] = {
      {"https://Hub.example", {true, "hub.example", 443, "/"}, "hub.example"},
      {"http://a:8080/x?y=1&z#f", {false, "a", 8080, "/x?y=1&z"}, "a:8080"},
      {"https://a:443?q", {true, "a", 443, "/?q"}, "a"},
      {"http://[::1]:9/x", {false, "::1", 9, "/x"}, "[::1]:9"},
  };
  for (const Case& c : cases) {
    const auto url = parse_url(c.text);
    ASSERT_TRUE(url.ok()) << url.status();
    EXPECT_TRUE(url->same_origin(c.url)) << c.text;
    EXPECT_EQ(url->path, c.url.path);
    EXPECT_EQ(url->authority(), c.authority);
  }
}

TEST(Url, None) {
  for (const char* text : {"", "a", "ftp://a", "http://", "http://:1", "http://a:0", "http://a:65536", "http://a:b",
                           "http://user@a", "http://user:pw@a", "http://a b", "http://a/\r\nX: y", "http://a/\x80",
                           "http://[::1", "http://[a b]", "http:///x", "http://a%41"}) {
    EXPECT_EQ(parse_url(text).status().code(), absl::StatusCode::kInvalidArgument) << text;
  }
  EXPECT_FALSE(parse_url("http://a/" + std::string(20000, 'x')).ok());
}

TEST(Url, TextHidesTheSignature) { EXPECT_EQ(parse_url("https://a/b?Signature=secret")->text(), "https://a/b"); }

TEST(Url, References) {
  const Url base = *parse_url("https://hub:8443/a/b?c");
  const std::pair<const char*, const char*> cases[] = {
      {"/x", "https://hub:8443/x"},
      {"?y", "https://hub:8443/a/b"},
      {"//cdn/x", "https://cdn/x"},
      {"http://cdn/x?z", "http://cdn/x"},
  };
  for (const auto& [reference, text] : cases) {
    const auto url = follow(base, reference);
    ASSERT_TRUE(url.ok()) << url.status();
    EXPECT_EQ(url->text(), text);
  }
  EXPECT_EQ(follow(base, "?y")->path, "/a/b?y");
  EXPECT_FALSE(follow(base, "x/y").ok());
}

TEST(Url, Origins) {
  const Url url = *parse_url("https://a/x");
  EXPECT_TRUE(url.same_origin(*parse_url("https://A:443/y")));
  for (const char* other : {"http://a:443/x", "https://a:444/x", "https://a.b/x"}) {
    EXPECT_FALSE(url.same_origin(*parse_url(other))) << other;
  }
}

TEST(Url, Encoding) {
  EXPECT_EQ(encoded("a/b c%\xc3\xa9?", "/"), "a/b%20c%25%C3%A9%3F");
  EXPECT_EQ(encoded("a/b"), "a%2Fb");
}

}  // namespace
}  // namespace polymath::commands::http
