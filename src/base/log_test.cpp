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
