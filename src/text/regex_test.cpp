#include "text/regex.h"

#include "gtest/gtest.h"

namespace polymath::text {
namespace {

// The matches in brackets, the gaps between them as they are.
std::string marked(const std::string& pattern, const std::string& text, RegexDialect dialect) {
  const auto regex = Regex::compile(pattern, dialect);
  EXPECT_TRUE(regex.ok()) << regex.status();
  if (!regex.ok()) return "";
  std::string out;
  regex->split(text, [&](size_t begin, size_t end, bool is_match) {
    const std::string part = text.substr(begin, end - begin);
    out += is_match ? "[" + part + "]" : part;
  });
  return out;
}

struct Row {
  const char* pattern;
  const char* text;
  const char* expected;
};

TEST(Regex, MatchesAsOnigurumaDoes) {
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
      {R"([\p{Han}]+)", "\u6df7\u3005\u3002", "[\u6df7\u3005]\u3002"},  // the full stop only extends the script
      {R"(\P{^Hiragana}+|\p{^Han})", "\u3042\u30fc", "[\u3042][\u30fc]"},
      {R"([\p{Uppercase}\p{Any}&&\p{Latin}]+)", "aB\u00b2\u03b1", "[aB]\u00b2\u03b1"},
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
  for (const Row& row : rows) {
    EXPECT_EQ(marked(row.pattern, row.text, RegexDialect::kOniguruma), row.expected) << row.pattern;
  }
}

TEST(Regex, MatchesAsTiktokenDoes) {
  const Row rows[] = {
      {R"(\p{N}{1,3}+)", "a12345", "a[123][45]"},  // possessive, not a repeat of the repeat
      {R"(\p{N}{1,3}+3)", "123", "123"},
      {R"(a++a|b)", "aab", "aa[b]"},
      {R"(^b|b$)", "a\nb\nb", "a\nb\n[b]"},
      {R"(b$)", "b\n", "b\n"},  // not before the last newline
      {R"((?m)^b$)", "a\nb\nc", "a\n[b]\nc"},
      {R"((?s:a.b)|(?m:c.d))", "a\nbc\nd", "[a\nb]c\nd"},
      {R"(\s+$|\s)", "a  b  ", "a[ ][ ]b[  ]"},
      {R"((?i:'s|'k))", "'\u017f'\u212a", "['\u017f]['\u212a]"},  // long s, kelvin sign
      {R"([\p{Han}]+|[\p{Lo}\p{Ll}&&[^\p{Han}]]+)", "ab\u6df7\u3005\u3042c", "[ab][\u6df7\u3005][\u3042c]"},
      {R"([a-z&&[^aeiou]&&[^x-z]]+)", "abcxyz", "a[bc]xyz"},
      {R"([^\r\n\p{L}\p{N}]?+\p{L}+)", " ab.cd", "[ ab][.cd]"},
      {R"(\w+)", "a\u200cb\u200dc\u00b2", "[a\u200cb\u200dc]\u00b2"},  // Rust's \w has the joiners
      {R"([^\w\s]+|\W)", "a\u200c-", "a\u200c[-]"},
  };
  for (const Row& row : rows) {
    EXPECT_EQ(marked(row.pattern, row.text, RegexDialect::kTiktoken), row.expected) << row.pattern;
  }
}

TEST(Regex, RefusesWhatIsNone) {
  for (const RegexDialect dialect : {RegexDialect::kOniguruma, RegexDialect::kTiktoken}) {
    for (const char* pattern : {"(", "[a", "a\\", "[[:alpha]", "*", "(?<n>", "\\p{Nope}"}) {
      EXPECT_FALSE(Regex::compile(pattern, dialect).ok()) << pattern;
    }
    EXPECT_FALSE(Regex::compile(std::string(1000, '(') + std::string(1000, ')'), dialect).ok());
    EXPECT_FALSE(Regex::compile(std::string(1000, '[') + std::string(1000, ']'), dialect).ok());
    EXPECT_FALSE(Regex::compile(std::string(1u << 20, 'a'), dialect).ok());
  }
  EXPECT_FALSE(Regex::compile("[a-z--[aeiou]]", RegexDialect::kTiktoken).ok());
}

TEST(Regex, ALimitEndsTheSearchAndKeepsTheText) {
  // Exponential in the run of a's; PCRE2 gives up, and the text is one piece.
  const std::string text = std::string(2000, 'a') + "!";
  EXPECT_EQ(marked(R"((?:a|aa|aaa)+(?:a|aa|b)+c)", text, RegexDialect::kOniguruma), text);
}

}  // namespace
}  // namespace polymath::text
