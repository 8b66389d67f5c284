#include "commands/text_table.h"

#include <gtest/gtest.h>

namespace polymath::commands {
namespace {

TEST(TextTable, AlignsNamesLeftAndFiguresRight) {
  TextTable table({"name", "GiB", "n"});
  table.add({"a", "1.50", "12"});
  table.add({"longer", "131.00", ""});
  EXPECT_EQ(table.text(),
            "name       GiB   n\n"
            "a         1.50  12\n"
            "longer  131.00\n");
}

TEST(TextTable, GroupsThousands) {
  struct Case {
    int64_t value;
    const char* text;
  };
  constexpr Case kCases[] = {{0, "0"}, {999, "999"}, {1000, "1,000"}, {131072, "131,072"}, {-1234567, "-1,234,567"}};
  for (const Case& c : kCases) EXPECT_EQ(with_commas(c.value), c.text);
  EXPECT_EQ(fixed(1342.05284, 1), "1,342.1");
  EXPECT_EQ(fixed(-0.5, 2), "-0.50");
  EXPECT_EQ(fixed(46.7028, 3), "46.703");
}

TEST(TextTable, BreaksSentencesAtBlanks) {
  const std::string word(60, 'x');
  EXPECT_EQ(wrapped("a b"), "a b\n");
  EXPECT_EQ(wrapped("  " + word + " " + word), "  " + word + "\n    " + word + "\n");
  EXPECT_EQ(wrapped(std::string(120, 'y')), std::string(120, 'y') + "\n");
  EXPECT_EQ(wrapped(""), "\n");
}

}  // namespace
}  // namespace polymath::commands
