#include "text/regex.h"

#include "gtest/gtest.h"

namespace polymath::text {
namespace {

// The matches in brackets, the gaps between them as they are.
std::string marked(const std::string& pattern, const std::string& text) {
  const auto regex = Regex::compile(pattern);
  EXPECT_TRUE(regex.ok()) << regex.status();
  if (!regex.ok()) return "";
  std::string out;
  regex->split(text, [&](size_t begin, size_t end, bool is_match) {
    const std::string part = text.substr(begin, end - begin);
    out += is_match ? "[" + part + "]" : part;
  });
  return out;
}

TEST(Regex, MatchesAsOnigurumaDoes) {
  struct Row {
    const char* pattern;
    const char* text;
    const char* expected;
  };
  const Row rows[] = {
      {R"(\p{N}{1,3})", "a12345", "a[123][45]"},
      {R"(\p{N}{1,2}+)", "a12345", "a[12345]"},  // a repeat of the repeat, not a possessive one
      {R"((?:ab){,2})", "ababab", "[abab][ab]"},
      {R"(\s+)", "a\u180e\u00a0b", "a\u180e[\u00a0]b"},  // U+180E is no White_Space
      {R"(\S+)", "a\u180e b", "[a\u180e] [b]"},
      {R"([^\s]+)", "a b", "[a] [b]"},
      {R"([\S]+)", "a b", "[a] [b]"},
      {R"(\w+)", "e\u0301_\u203f!", "[e\u0301_\u203f]!"},
      {R"([\W]+)", "a !b", "a[ !]b"},
      {R"(\h+)", "xyzaF9", "xyz[aF9]"},
      {R"(\u00e9)", "\u00e9", "[\u00e9]"},
      {R"((?m:a.b))", "a\nb", "[a\nb]"},
      {R"(a.b)", "a\nb", "a\nb"},
      {R"(^b$)", "a\nb\nc", "a\n[b]\nc"},
      {R"((?i:'s|'t)|x)", "'S'tX", "['S]['t]X"},
      {R"([\p{L}&&[^\p{Han}]]+)", "ab\u6df7cd", "[ab]\u6df7[cd]"},
      {R"([^a&&\p{L}]+)", "ab1", "a[b1]"},
      {R"([a[0-9]]+)", "xa12b", "x[a12]b"},
      {R"([^a[0-9]]+)", "xa12b", "[x]a12[b]"},
      {R"([[:alpha:]]+)", "ab1", "[ab]1"},
      {R"([]a]+)", "]ab", "[]a]b"},
      {R"({)", "a{b", "a[{]b"},
      {R"(x*)", "axb", "[]a[x]b[]"},
      {R"((?=b))", "ab", "a[]b"},
      {R"([\r\n]+)", "a\r\nb", "a[\r\n]b"},
      {R"(\s+(?!\S)|\s+)", "a   b  ", "a[  ][ ]b[  ]"},
  };
  for (const Row& row : rows) EXPECT_EQ(marked(row.pattern, row.text), row.expected) << row.pattern;
}

TEST(Regex, RefusesWhatIsNone) {
  for (const char* pattern : {"(", "[a", "a\\", "[[:alpha]", "*", "(?<n>", "\\p{Nope}"}) {
    EXPECT_FALSE(Regex::compile(pattern).ok()) << pattern;
  }
  EXPECT_FALSE(Regex::compile(std::string(1000, '(') + std::string(1000, ')')).ok());
  EXPECT_FALSE(Regex::compile(std::string(1000, '[') + std::string(1000, ']')).ok());
  EXPECT_FALSE(Regex::compile(std::string(1u << 20, 'a')).ok());
}

TEST(Regex, ALimitEndsTheSearchAndKeepsTheText) {
  // Exponential in the run of a's; PCRE2 gives up, and the text is one piece.
  const std::string text = std::string(2000, 'a') + "!";
  EXPECT_EQ(marked(R"((?:a|aa|aaa)+(?:a|aa|b)+c)", text), text);
}

}  // namespace
}  // namespace polymath::text
