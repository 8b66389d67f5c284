#include "base/log.h"

#include <gtest/gtest.h>

#include <functional>
#include <regex>

namespace polymath::base {
namespace {

std::string captured(const std::function<void()>& act) {
  testing::internal::CaptureStderr();
  act();
  return testing::internal::GetCapturedStderr();
}

TEST(Log, OneLineAFact) {
  const std::string_view standard = "view";
  const std::string line = captured([&] { log_warning("room", "a ", 1, " ", standard, " ", std::string("b")); });
  EXPECT_TRUE(
      std::regex_match(line, std::regex(R"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z warning room: a 1 view b\n)")))
      << line;
}

TEST(Log, NoInputForgesALine) {
  const std::string line = captured([] { log_info("room", "a\nb\r\t\x1b[31m\x7f{} %s é", std::string(1, '\0')); });
  EXPECT_TRUE(line.ends_with("room: a\\x0ab\\x0d\\x09\\x1b[31m\\x7f{} %s é\\x00\n")) << line;
}

TEST(Log, WhatIsNoPlainTextIsEscaped) {
  const struct {
    std::string_view text, shown;
  } rows[] = {
      {"\xc2\x9b"
       "31m",
       "\\u009b31m"},                                  // C1: a terminal's control sequence
      {"\xe2\x80\xa8\xe2\x80\xa9", "\\u2028\\u2029"},  // separators of lines and paragraphs
      {"a\xe2\x80\xae"
       "b",
       "a\\u202eb"},                                                                     // right-to-left override
      {"\xe2\x81\xa6\xd8\x9c", "\\u2066\\u061c"},                                        // isolate, Arabic letter mark
      {"\xff\xc3(", "\\xff\\xc3("},                                                      // not UTF-8
      {"\xed\xa0\x80", "\\xed\\xa0\\x80"},                                               // half of a surrogate pair
      {"\xc0\x80\xf4\x90\x80\x80", "\\xc0\\x80\\xf4\\x90\\x80\\x80"},                    // too long; too large
      {"\xe2\x80", "\\xe2\\x80"},                                                        // cut
      {"\xe4\xbd\xa0\xf0\x9f\x98\x80\xc2\xa0", "\xe4\xbd\xa0\xf0\x9f\x98\x80\xc2\xa0"},  // text
  };
  for (const auto& row : rows) {
    const std::string line = captured([&] { log_info("room", row.text); });
    EXPECT_TRUE(line.ends_with("room: " + std::string(row.shown) + "\n")) << line;
  }
}

TEST(Log, Levels) {
  EXPECT_FALSE(set_log_level("loud"));
  ASSERT_TRUE(set_log_level("WARNING"));
  EXPECT_EQ("", captured([] { log_info("room", "x"), log_debug("room", "x"); }));
  EXPECT_NE("", captured([] { log_error("room", "x"); }));
  ASSERT_TRUE(set_log_level("debug"));
  EXPECT_NE("", captured([] { log_debug("room", "x"); }));
  ASSERT_TRUE(set_log_level("info"));
}

}  // namespace
}  // namespace polymath::base
