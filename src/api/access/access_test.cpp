#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>
#include <string>

#include "api/access/key_guard.h"
#include "api/access/key_ring.h"
#include "api/access/local_rules.h"

namespace polymath::api {
namespace {

TEST(KeyFile, LinesAreNamesAndSecrets) {
  const auto keys = parse_key_file("# clients\n\nteam-a  s3cret\r\n\tteam_b\tother \nteam-a new");
  ASSERT_TRUE(keys.ok()) << keys.status();
  ASSERT_EQ(keys->size(), 3u);
  EXPECT_EQ((*keys)[0].name, "team-a");
  EXPECT_EQ((*keys)[0].secret, "s3cret");
  EXPECT_EQ((*keys)[1].name, "team_b");
  EXPECT_EQ((*keys)[1].secret, "other");
  EXPECT_EQ((*keys)[2].secret, "new") << "two secrets of one name";
  const struct {
    const char* text;
    const char* says;
  } bad[] = {
      {"", "no key"},          {"# a\n", "no key"},     {"a\n", "line 1: a line is"}, {"x y\nkey12 s", "line 2"},
      {"admin s", "taken"},    {"a/b s", "a name has"}, {"a s t", "without blanks"},  {"a s\x01t", "printable"},
      {"key1 hush", "line 1"},
  };
  for (const auto& row : bad) {
    const auto parsed = parse_key_file(row.text);
    ASSERT_FALSE(parsed.ok()) << row.text;
    EXPECT_NE(std::string(parsed.status().message()).find(row.says), std::string::npos) << parsed.status();
    EXPECT_EQ(std::string(parsed.status().message()).find("hush"), std::string::npos) << "a secret is never shown";
  }
}

TEST(ApiKeys, FindsABearersKey) {
  const ApiKeys keys({{"a", digest_of_key("one"), nullptr}, {"b", digest_of_key("two"), nullptr}});
  EXPECT_EQ(keys.find("Bearer one")->name, "a");
  EXPECT_EQ(keys.find("bEARER two")->name, "b");
  for (const char* wrong :
       {"", "Bearer ", "Bearer", "Bearer three", "Basic one", "one", "Bearer one ", "Bearer  one"}) {
    EXPECT_EQ(keys.find(wrong), nullptr) << wrong;
  }
}

TEST(KeyRing, ReadsItsFileAgain) {
  const std::string path = testing::TempDir() + "keys_" + std::to_string(getpid());
  std::ofstream(path) << "team one\n";
  base::MetricsRegistry metrics;
  KeyRing ring({"fixed"}, path, metrics);
  EXPECT_TRUE(ring.is_required());
  EXPECT_EQ(ring.keys()->find("Bearer fixed")->name, "key1");
  EXPECT_EQ(ring.keys()->find("Bearer one")->name, "team");
  std::ofstream(path) << "team second\n";
  ring.refresh();
  EXPECT_EQ(ring.keys()->find("Bearer one"), nullptr);
  EXPECT_EQ(ring.keys()->find("Bearer second")->name, "team");
  std::ofstream(path) << "# nothing, which must not open the server\n";
  ring.refresh();
  EXPECT_EQ(ring.keys()->find("Bearer second")->name, "team") << "a faulty file leaves the keys as they were";
  unlink(path.c_str());
  ring.refresh();
  EXPECT_NE(ring.keys()->find("Bearer second"), nullptr);
  ring.keys()->find("Bearer second")->requests->add();
  EXPECT_NE(metrics.render().find("polymath:requests_total{key=\"team\"} 1"), std::string::npos);
  EXPECT_EQ(metrics.render().find("second"), std::string::npos);
  EXPECT_FALSE(check_key_file(path).ok());
}

TEST(KeyGuard, WrongKeysAreSlowedByAddress) {
  KeyGuard guard;
  for (int i = 0; i < KeyGuard::kWrongKeysMax; ++i) EXPECT_EQ(guard.judge("1.1.1.1", "", 0), 0) << i;
  EXPECT_EQ(guard.judge("2.2.2.2", "a", 0), 0) << "another address";
  EXPECT_NEAR(guard.judge("1.1.1.1", "", 0), 6, 1e-6);
  EXPECT_NEAR(guard.judge("1.1.1.1", "a", 3), 3, 1e-6) << "a lucky guess waits, too";
  EXPECT_EQ(guard.judge("1.1.1.1", "a", 6), 0) << "later a right key passes";
  EXPECT_EQ(guard.judge("1.1.1.1", "", 6), 0);
  EXPECT_GT(guard.judge("1.1.1.1", "", 6), 0);
  EXPECT_EQ(guard.judge("1.1.1.1", "a", 6), 0) << "known from this address";
  EXPECT_GT(guard.judge("1.1.1.1", "b", 6), 0);
  for (int i = 0; i < KeyGuard::kWrongKeysMax; ++i) EXPECT_EQ(guard.judge("1.1.1.1", "", 600), 0) << "free again";
}

TEST(KeyGuard, ItsTableIsBounded) {
  KeyGuard guard;
  for (size_t i = 0; i < KeyGuard::kAddressesMax + 10; ++i) guard.judge(std::to_string(i), "", 0);
  for (int i = 1; i < KeyGuard::kWrongKeysMax; ++i) guard.judge("100", "", 0);
  EXPECT_GT(guard.judge("100", "", 0), 0) << "still known";
  for (int i = 1; i < KeyGuard::kWrongKeysMax; ++i) guard.judge("0", "", 0);
  EXPECT_EQ(guard.judge("0", "", 0), 0) << "forgotten";
}

server::HttpRequest head(bool local, server::HttpHeaders headers) {
  server::HttpRequest out;
  out.method = "POST";
  out.local = local;
  out.address = "127.0.0.1";
  out.headers = std::move(headers);
  return out;
}

TEST(LocalRules, WhoMayCallAServerWithoutKeys) {
  const LocalRules rules{"box.example", {"http://page.example"}};
  const struct {
    bool local;
    server::HttpHeaders headers;
    int status;  // 0: may pass
  } rows[] = {
      {true, {}, 0},
      {false, {{"host", "localhost"}}, 403},
      {true, {{"host", "localhost:8000"}}, 0},
      {true, {{"host", "LOCALHOST"}}, 0},
      {true, {{"host", "app.localhost:1"}}, 0},
      {true, {{"host", "127.0.0.1:8000"}}, 0},
      {true, {{"host", "127.3.2.1"}}, 0},
      {true, {{"host", "[::1]:8000"}}, 0},
      {true, {{"host", "Box.Example:8000"}}, 0},
      {true, {{"host", ""}}, 0},
      {true, {{"host", "evil.example"}}, 403},
      {true, {{"host", "127.0.0.1.evil.example"}}, 403},
      {true, {{"host", "localhost.evil.example"}}, 403},
      {true, {{"host", "127.1"}}, 403},
      {true, {{"host", "[2001:db8::1]"}}, 403},
      {true, {{"host", "["}}, 0},
      {true, {{"host", "10.0.0.1"}}, 403},
      {true, {{"host", "localhost:8000"}, {"origin", "http://localhost:8000"}}, 0},
      {true, {{"host", "localhost:8000"}, {"origin", "http://localhost:3000"}}, 403},
      {true, {{"host", "localhost:8000"}, {"origin", "http://page.example"}}, 0},
      {true, {{"host", "localhost:8000"}, {"origin", "http://evil.example"}}, 403},
      {true, {{"host", "localhost:8000"}, {"origin", "null"}}, 403},
      {true, {{"content-type", "application/json"}}, 0},
      {true, {{"content-type", "Application/JSON ; charset=utf-8"}}, 0},
      {true, {{"content-type", "text/plain"}}, 415},
      {true, {{"content-type", "application/x-www-form-urlencoded"}}, 415},
      {true, {{"content-type", "multipart/form-data; boundary=x"}}, 415},
      {true, {{"content-type", "text/plain; application/json"}}, 415},
  };
  for (const auto& row : rows) {
    const auto breach = rules.check(head(row.local, row.headers));
    std::string text;
    for (const auto& [name, value] : row.headers) text += name + ": " + value + " ";
    EXPECT_EQ(breach.has_value() ? breach->http_status : 0, row.status) << text;
  }
  server::HttpRequest unix_socket = head(true, {{"host", "anything"}});
  unix_socket.address = "unix";
  EXPECT_FALSE(rules.check(unix_socket).has_value());
  EXPECT_FALSE((LocalRules{"", {"*"}}).check(head(true, {{"origin", "http://evil.example"}})).has_value());
}

}  // namespace
}  // namespace polymath::api
