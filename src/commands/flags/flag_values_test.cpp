#include "commands/flags/flag_values.h"

#include <gtest/gtest.h>

namespace polymath::commands {
namespace {

TEST(FlagValues, Bytes) {
  const struct {
    const char* text;
    int64_t bytes;  // -1: refused
  } rows[] = {
      {"4096", 4096},
      {"512M", 512'000'000},
      {"4G", 4'000'000'000},
      {"8Gi", int64_t{8} << 30},
      {"1.5GiB", 3 << 29},
      {"2k", 2000},
      {"2KiB", 2048},
      {"0", 0},
      {"", -1},
      {"-1", -1},
      {"x", -1},
      {"1.2.3", -1},
      {"12Q", -1},
      {"2000000Ti", -1},
      {"1e3", -1},
  };
  for (const auto& row : rows) {
    const auto bytes = parse_bytes(row.text);
    EXPECT_EQ(bytes.ok(), row.bytes >= 0) << row.text;
    if (!bytes.ok()) continue;
    EXPECT_EQ(*bytes, row.bytes) << row.text;
  }
}

TEST(FlagValues, Lengths) {
  const struct {
    const char* text;
    int64_t length;  // -1: refused
  } rows[] = {
      {"32768", 32768}, {"32k", 32000}, {"32K", 32768}, {"1m", 1'000'000}, {"auto", 0},
      {"-1", 0},        {"1", -1},      {"99m", -1},    {"32Ki", -1},      {"", -1},
  };
  for (const auto& row : rows) {
    const auto length = parse_length(row.text, {2, 1 << 24});
    EXPECT_EQ(length.ok(), row.length >= 0) << row.text;
    if (!length.ok()) continue;
    EXPECT_EQ(*length, row.length) << row.text;
  }
}

TEST(FlagValues, NumbersAndWords) {
  EXPECT_EQ(*parse_int("7", {0, 10}), 7);
  EXPECT_EQ(parse_int("11", {0, 10}).status().message(), "must be between 0 and 10, not 11");
  EXPECT_FALSE(parse_int("7.5", {0, 10}).ok());
  EXPECT_EQ(*parse_number("0.5", 0, 1), 0.5);
  EXPECT_FALSE(parse_number("nan", 0, 1).ok());
  EXPECT_FALSE(parse_number("1.01", 0, 1).ok());
  EXPECT_TRUE(*parse_bool("true"));
  EXPECT_FALSE(*parse_bool("0"));
  EXPECT_FALSE(parse_bool("maybe").ok());
  EXPECT_EQ(*parse_choice("b", {"a", "b"}), "b");
  EXPECT_EQ(parse_choice("c", {"a", "b"}).status().message(), "`c` is not one of a, b");
}

TEST(FlagValues, TextForPeople) {
  EXPECT_EQ(bytes_text(512), "0.5 KiB");
  EXPECT_EQ(bytes_text(3 << 20), "3.0 MiB");
  EXPECT_EQ(bytes_text(1.5 * 0x1p30), "1.5 GiB");
  EXPECT_EQ(count_text(2.69e6), "2.69 million");
  EXPECT_EQ(count_text(46.7e9), "46.70 billion");
}

}  // namespace
}  // namespace polymath::commands
