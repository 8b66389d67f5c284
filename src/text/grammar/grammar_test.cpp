#include "text/grammar/grammar.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"

namespace polymath::text::grammar {
namespace {

constexpr TokenId kEnd = 0;

// Every byte, and some words that cross the joints of JSON.
std::shared_ptr<const Vocabulary> small_vocabulary() {
  std::vector<std::string> texts = {"\xFF</s>"};
  for (int byte = 0; byte < 255; ++byte) texts.emplace_back(1, static_cast<char>(byte));
  for (const char* word : {"{\"",   "\":", "\": ", "\",", "\", \"", "\"}",   "}}", "true",    "null",      "12",
                           "123",   "abc", "name", " \"", ": 1",    "ab",    "é",  "\xC3",    "日本",      "\\\"",
                           "\\u00", "]",   "], [", "  ",  "\n  ",   "\"a\"", "e",  "\"x\":1", "\xFF<tool>"}) {
    texts.emplace_back(word);
  }
  return std::make_shared<const Vocabulary>(std::move(texts), std::vector<TokenId>{kEnd});
}

absl::StatusOr<std::shared_ptr<Grammar>> make(Language language, std::string source) {
  return compile({language, std::move(source)}, small_vocabulary(), {});
}

bool has(const std::vector<uint64_t>& words, TokenId id) { return ((words[id >> 6] >> (id & 63)) & 1) != 0; }

// Whether the grammar takes the text: byte by byte, and whether each mask agrees with what is accepted.
bool takes(const std::shared_ptr<Grammar>& grammar, std::string_view text) {
  Matcher matcher(grammar);
  for (size_t i = 0; i < text.size(); ++i) {
    if (!matcher.accept_bytes(text.substr(i, 1))) return false;
  }
  EXPECT_EQ(matcher.failure(), "");
  return matcher.may_end();
}

// At every place of the text, the mask allows exactly the ids that a copy of the matcher accepts.
void check_masks(const std::shared_ptr<Grammar>& grammar, std::string_view text) {
  const auto vocabulary = small_vocabulary();
  Matcher matcher(grammar);
  for (size_t i = 0; i <= text.size(); ++i) {
    std::vector<uint64_t> words((vocabulary->size() + 63) / 64, ~uint64_t{0});
    matcher.fill(words);
    for (TokenId id = 0; id < static_cast<TokenId>(vocabulary->size()); ++id) {
      Matcher other = matcher;
      ASSERT_EQ(has(words, id), other.accept(id)) << "id " << id << " behind " << text.substr(0, i);
    }
    if (i == text.size()) break;
    ASSERT_TRUE(matcher.accept_bytes(text.substr(i, 1))) << text.substr(0, i + 1);
  }
}

struct Case {
  Language language;
  std::string source;
  std::vector<std::string> good, bad;
};

void check(const Case& c) {
  SCOPED_TRACE(c.source);
  const auto grammar = make(c.language, c.source);
  ASSERT_TRUE(grammar.ok()) << grammar.status();
  for (const std::string& text : c.good) {
    EXPECT_TRUE(takes(*grammar, text)) << text;
    check_masks(*grammar, text);
  }
  for (const std::string& text : c.bad) EXPECT_FALSE(takes(*grammar, text)) << text;
}

TEST(Grammar, JsonObject) {
  check({Language::kJsonObject,
         "",
         {"{}", R"({"a": 1})", R"({"a":[1,2.5e-3,{"b":null}],"c":"x\u00e9\n"})", "{\n  \"a\": true\n}", R"({"a":[]})"},
         {"[]", "1", "{,}", R"({"a":1,})", R"({"a":01})", R"({"a":"\x"})", "{\"a\":\"\n\"}", R"({"a" :1})", "{  }"}});
}

TEST(Grammar, Choices) {
  check(
      {Language::kChoices, R"(["yes","no","yes!","ノー"])", {"yes", "no", "yes!", "ノー"}, {"", "y", "nope", "yesno"}});
}

TEST(Grammar, Regex) {
  const Case cases[] = {
      {Language::kRegex, "[a-c]{2,3}", {"ab", "abc"}, {"a", "abca", "xd"}},
      {Language::kRegex, "^(a|b)*c$", {"c", "abbac"}, {"", "ab"}},
      {Language::kRegex, "\\d{3}-\\d{4}", {"555-1234"}, {"5555-123"}},
      {Language::kRegex, "[^\"]+é?", {"é", "xé", "日本"}, {"", "\""}},
      {Language::kRegex, "(?=.*\\d)[a-z0-9]{2,4}", {"a1", "1aa"}, {"ab", "1"}},
      {Language::kRegex, "(?!ab).*", {"", "a", "ba"}, {"ab", "abc"}},
      {Language::kRegex, "\\p{Lu}\\p{Ll}*", {"É", "Aé"}, {"é"}},
      {Language::kRegex, "a{0}b", {"b"}, {"ab"}},
      {Language::kRegex, "x{2,}", {"xx", "xxxxx"}, {"x"}},
  };
  for (const Case& c : cases) check(c);
}

std::string status_of(Language language, std::string source) {
  return std::string(make(language, std::move(source)).status().message());
}

TEST(Grammar, RegexRefusals) {
  const std::pair<const char*, const char*> cases[] = {
      {"a(?<=b)c", "lookbehind"},     {"(a)\\1", "backreferences"}, {"\\bword", "word boundaries"},
      {"a++", "possessive"},          {"(?i)a", "flags"},           {"a(", "without its )"},
      {"a{3,1}", "out of order"},     {"[b-a]", "out of order"},    {"*a", "nothing to repeat"},
      {"a^b", "ends of the pattern"},
  };
  for (const auto& [pattern, sentence] : cases) {
    EXPECT_THAT(status_of(Language::kRegex, pattern), testing::HasSubstr(sentence)) << pattern;
  }
}

TEST(Grammar, SchemaScalars) {
  const Language schema = Language::kJsonSchema;
  const Case cases[] = {
      {schema,
       R"({"type":"string","minLength":2,"maxLength":3})",
       {R"("ab")", R"("a\n\"")", R"("日本é")"},
       {R"("a")", R"("abcd")"}},
      {schema,
       R"({"type":"integer","minimum":-5,"maximum":120})",
       {"0", "-5", "120", "99", "-1"},
       {"-6", "121", "1000", "1.5", "01"}},
      {schema,
       R"({"type":"number","exclusiveMinimum":0.5,"maximum":2})",
       {"0.51", "1", "2", "2.0", "0.500000000000001"},
       {"0.5", "0.50", "0.4", "2.01", "3", "-1", "10"}},
      {schema, R"({"type":"integer","multipleOf":7})", {"0", "14", "-21"}, {"1", "15"}},
      {schema, R"({"type":"number","multipleOf":0.5})", {"0.5", "3", "2.0"}, {"0.3", "1.25"}},
      {schema, R"({"type":"string","pattern":"^[a-z]+\\d$"})", {R"("ab1")"}, {R"("ab")", R"("1")"}},
      {schema, R"({"type":"string","pattern":"b"})", {R"("abc")", R"("b")"}, {R"("ac")"}},
      {schema, R"({"type":"string","pattern":"^a.*$","maxLength":2})", {R"("a")", R"("ab")"}, {R"("abc")", R"("b")"}},
      {schema,
       R"({"enum":["a","b",1,null,{"x":[1]}]})",
       {R"("a")", "1", "null", R"({"x":[1]})", R"({"x": [1]})"},
       {R"("c")", "2"}},
      {schema, R"({"enum":["a",1,"abc"],"type":"string","maxLength":1})", {R"("a")"}, {"1", R"("abc")"}},
      {schema,
       R"({"type":"string","format":"date"})",
       {R"("2024-02-29")", R"("2023-12-31")"},
       {R"("2023-02-29")", R"("2023-13-01")"}},
      {schema,
       R"({"type":"string","format":"ipv6"})",
       {R"("::1")", R"("1:2:3:4:5:6:7:8")", R"("::ffff:1.2.3.4")"},
       {R"("1:2")", R"("::1::")"}},
      {schema, R"({"type":["boolean","null"]})", {"true", "null"}, {"1"}},
      {schema,
       R"({"anyOf":[{"type":"integer"},{"type":"string","maxLength":1}]})",
       {"12", R"("a")"},
       {"1.5", R"("ab")"}},
      {schema, R"({"allOf":[{"minimum":3},{"maximum":4}],"type":"integer"})", {"3", "4"}, {"2", "5"}},
      {schema, R"({"oneOf":[{"type":"integer","maximum":3},{"type":"integer","minimum":4}]})", {"3", "4"}, {"1.5"}},
  };
  for (const Case& c : cases) check(c);
}

TEST(Grammar, SchemaObjects) {
  const Language schema = Language::kJsonSchema;
  const Case cases[] = {
      {schema,
       R"({"type":"object","properties":{"a":{"type":"integer"},"b":{"type":"boolean"}},"required":["a"],"additionalProperties":false})",
       {R"({"a":1})", R"({"a": 1, "b": true})", "{\n  \"a\": 1\n}"},
       {"{}", R"({"b":true})", R"({"a":1,"c":1})", R"({"a":1,})", R"({"b":true,"a":1})"}},
      {schema,
       R"({"type":"object","properties":{"a":{"type":"integer"}}})",
       {"{}", R"({"a":1})", R"({"z":"x"})", R"({"a":1,"ab":null})"},
       {R"({"a":"x"})", R"({"z":1,"a":"x"})"}},
      {schema,
       R"({"type":"object","patternProperties":{"^x":{"type":"integer"}},"additionalProperties":{"type":"string"}})",
       {R"({"x1":1})", R"({"y":"a"})", R"({"x":1,"y":"x"})"},
       {R"({"x1":"a"})", R"({"y":1})"}},
      {schema,
       R"({"type":"object","propertyNames":{"maxLength":2},"minProperties":1,"maxProperties":2})",
       {R"({"x":1})", R"({"x":1,"yy":2})"},
       {"{}", R"({"xxx":1})", R"({"a":1,"b":1,"c":1})"}},
      {schema,
       R"({"properties":{"a":true,"b":true,"c":true},"type":"object","minProperties":2,"maxProperties":2,"additionalProperties":false})",
       {R"({"a":1,"b":1})", R"({"a":1,"c":1})", R"({"b":1,"c":1})"},
       {R"({"a":1})", R"({"a":1,"b":1,"c":1})"}},
      {schema,
       R"({"$ref":"#/$defs/n","$defs":{"n":{"type":"object","properties":{"v":{"type":"integer"},"next":{"anyOf":[{"$ref":"#/$defs/n"},{"type":"null"}]}},"required":["v","next"],"additionalProperties":false}}})",
       {R"({"v":1,"next":null})", R"({"v":1,"next":{"v":2,"next":null}})"},
       {R"({"v":1})", R"({"v":1,"next":{"v":2}})"}},
      {schema,
       R"({"oneOf":[{"type":"object","properties":{"k":{"const":"a"},"x":{"type":"integer"}},"required":["k"]},{"type":"object","properties":{"k":{"const":"b"}},"required":["k"]}]})",
       {R"({"k":"a","x":1})", R"({"k":"b","x":"y"})"},
       {R"({"k":"a","x":"y"})", R"({"k":"c"})"}},
  };
  for (const Case& c : cases) check(c);
}

TEST(Grammar, SchemaArrays) {
  const Language schema = Language::kJsonSchema;
  const Case cases[] = {
      {schema,
       R"({"type":"array","items":{"type":"integer"},"minItems":1,"maxItems":3})",
       {"[1]", "[1, 2,3]"},
       {"[]", "[1,2,3,4]", "[true]"}},
      {schema,
       R"({"type":"array","prefixItems":[{"type":"integer"},{"type":"string"}],"items":false})",
       {"[]", "[1]", R"([1,"a"])"},
       {R"(["a"])", R"([1,"a",1])"}},
      {schema,
       R"({"type":"array","prefixItems":[{"type":"integer"}],"items":{"type":"null"},"minItems":2})",
       {"[1,null]", "[1,null,null]"},
       {"[1]", "[]", "[1,1]"}},
      {schema, R"({"type":"array","items":{"$ref":"#"}})", {"[]", "[[],[[]]]"}, {"[1]"}},
      {schema, R"({"type":"array","maxItems":0})", {"[]"}, {"[1]"}},
  };
  for (const Case& c : cases) check(c);
}

TEST(Grammar, SchemaRefusals) {
  const std::pair<const char*, const char*> cases[] = {
      {R"({"not":{}})", "not is not supported"},
      {R"({"contains":{}})", "contains is not supported"},
      {R"({"if":{}})", "if is not supported"},
      {R"({"type":"string","maxlength":3})", "do you mean maxLength"},
      {R"({"requird":["a"]})", "do you mean required"},
      {R"({"type":"array","uniqueItems":true})", "uniqueItems"},
      {R"({"type":"string","format":"moon"})", "format moon"},
      {R"({"$ref":"https://example.com/x"})", "$ref is not supported outside"},
      {R"({"$ref":"#/$defs/none"})", "leads nowhere"},
      {R"({"$ref":"#"})", "leads back to itself"},
      {R"({"oneOf":[{"type":"integer"},{"type":"number"}]})", "oneOf cannot be held"},
      {R"({"type":"object","minProperties":2})", "minProperties"},
      {R"({"type":"integer","minimum":5,"maximum":3})", "nothing satisfies"},
      {R"({"type":"object","properties":{"a":{"$ref":"#"}},"required":["a"]})", "nothing satisfies"},
      {R"({"type":"string","pattern":"^a$","minLength":5})", "nothing satisfies"},
      {R"({"type":"thing"})", "type has no type thing"},
      {R"({"type":"string","maxLength":-1})", "maxLength must be a whole number"},
      {"{", "schema:"},
      {"[]", "must be an object"},
  };
  for (const auto& [source, sentence] : cases) {
    EXPECT_THAT(status_of(Language::kJsonSchema, source), testing::HasSubstr(sentence)) << source;
  }
}

TEST(Grammar, Ebnf) {
  const Language ebnf = Language::kEbnf;
  const Case cases[] = {
      {ebnf, "root ::= \"a\" [b-d]+ # end\n", {"ab", "abcd"}, {"a", "abe"}},
      {ebnf,
       "root ::= sum\nsum ::= sum [+-] term | term\nterm ::= number | \"(\" sum \")\"\nnumber ::= [0-9]{1,3}\n",
       {"1", "12+3-(4)", "((1)+2)"},
       {"", "1+", "(1", "1234"}},
      {ebnf, "root ::= (\"x\" |\n \"y\"\n)? item*\nitem ::= \"\\u00e9\" | \"\\x41\"", {"", "x", "yéA"}, {"xy"}},
      {ebnf, "root ::= [^\"]* \"\\\"\" .", {"ab\"é"}, {"ab\""}},
  };
  for (const Case& c : cases) check(c);
}

TEST(Grammar, EbnfRefusals) {
  const std::pair<const char*, const char*> cases[] = {
      {"a ::= \"x\"", "no rule is called root"}, {"root ::= b", "no rule is called b"},
      {"root ::= \"x", "closing quote"},         {"root ::= (\"x\"", "without its )"},
      {"root = \"x\"", "a rule must be"},        {"root ::= a\na ::= root | \"x\"", "left recursion"},
      {"root ::= root", "nothing satisfies"},    {"root ::= \"a\"\nroot ::= \"b\"", "twice"},
  };
  for (const auto& [source, sentence] : cases) {
    EXPECT_THAT(status_of(Language::kEbnf, source), testing::HasSubstr(sentence)) << source;
  }
}

TEST(Grammar, StructuralTags) {
  const Language tag = Language::kStructuralTag;
  const Case cases[] = {
      {tag,
       R"({"structures":[{"begin":"<f=a>","schema":{"type":"integer"},"end":"</f>"},{"begin":"<f=b>","schema":{"enum":["x"]},"end":"</f>"}],"triggers":["<f="]})",
       {"", "plain < text", "so <f=a>12</f> and <f=b>\"x\"</f>."},
       {"<f=c>", "<f=a>x</f>", "<f=a>12"}},
      {tag,
       R"({"format":{"type":"triggered_tags","triggers":["<t>"],"tags":[{"begin":"<t>","content":{"type":"any_text"},"end":"</t>"}],"at_least_one":true,"stop_after_first":true}})",
       {"<t></t>", "a<t>b<c</t>"},
       {"", "a", "<t></t>x"}},
      {tag,
       R"({"format":{"type":"sequence","elements":[{"type":"const_string","value":"A:"},{"type":"or","elements":[{"type":"regex","pattern":"\\d+"},{"type":"json_schema","json_schema":{"type":"null"}}]}]}})",
       {"A:12", "A:null"},
       {"A:", "12"}},
      {tag,
       R"({"format":{"type":"tags_with_separator","tags":[{"type":"tag","begin":"<","content":{"type":"grammar","grammar":"root ::= [a-b]"},"end":">"}],"separator":",","at_least_one":true}})",
       {"<a>", "<a>,<b>"},
       {"", "<a>,"}},
      {tag,
       R"({"format":{"type":"tag","begin":"<tool>","content":{"type":"star","content":{"type":"const_string","value":"x"}},"end":"<e>"}})",
       {"\xFF<tool><e>", "\xFF<tool>xx<e>"},
       {"<tool>x<e>", "\xFF<tool>x"}},
      {tag,
       R"({"format":{"type":"sequence","elements":[{"type":"optional","content":{"type":"const_string","value":"a"}},{"type":"plus","content":{"type":"json_schema","json_schema":{"type":"null"}}}]}})",
       {"null", "anullnull"},
       {"", "a", "aanull"}},
  };
  for (const Case& c : cases) check(c);
  EXPECT_THAT(status_of(tag, R"({"format":{"type":"moon"}})"), testing::HasSubstr("moon is not supported"));
  EXPECT_THAT(status_of(tag, R"({"structures":[],"triggers":["a"]})"), testing::HasSubstr("structures must be"));
}

// A special token comes only where the grammar names it.
TEST(Grammar, SpecialTokens) {
  const auto free = make(Language::kRegex, "[^x]*");
  ASSERT_TRUE(free.ok());
  std::vector<uint64_t> words((small_vocabulary()->size() + 63) / 64, ~uint64_t{0});
  Matcher matcher(*free);
  matcher.fill(words);
  const auto tool = static_cast<TokenId>(small_vocabulary()->size() - 1);
  EXPECT_FALSE(has(words, tool));
  EXPECT_FALSE(matcher.accept(tool));
  EXPECT_TRUE(has(words, kEnd));
}

// The form comes behind the reasoning, where there is any.
TEST(Grammar, Preambles) {
  const struct {
    Preamble preamble;
    std::vector<std::string> good, bad;
  } rows[] = {
      {{.begins = {"<think>"}, .ends = {"</think>"}},
       {"yes", "<think>a < b</think>yes", "\n<think></think>\n\nyes", "<think></thin</think>yes"},
       {"<think>yes", "no", "</think>yes", "<think></think>no", "<think></think>yes</think>yes"}},
      {{.begins = {"<tool>"}, .ends = {"</think>", "<end>"}},
       {"yes", "\xFF<tool>a</think>yes", "\xFF<tool>a<end>yes"},
       {"<tool>a</think>yes", "\xFF<tool>yes"}},
      {{.begins = {"<think>"}, .ends = {"</think>"}, .inside = true},
       {"hm</think>yes", "</think>\nyes", "a\nb</think>yes"},
       {"yes", "<think>yes", "hm</think>no"}},
      {{.removed = {"<answer>", "</answer>"}},
       {"yes", "<answer>yes</answer>", "<answer>\nyes\n</answer>"},
       {"<answer>yes", "yes</answer>"}},
      {{.is_harmony = true},
       {"<|channel|>final<|message|>yes",
        "<|channel|>analysis<|message|>hm<|end|><|start|>assistant<|channel|>final "
        "<|constrain|>json<|message|>yes"},
       {"yes", "<|channel|>analysis<|message|>yes"}},
      {{.is_harmony = true, .is_final = false}, {"yes"}, {"<|channel|>final<|message|>yes"}},
  };
  for (const auto& row : rows) {
    const auto grammar = compile({.language = Language::kChoices, .source = R"(["yes"])", .preamble = row.preamble},
                                 small_vocabulary(), {});
    ASSERT_TRUE(grammar.ok()) << grammar.status();
    for (const std::string& text : row.good) {
      EXPECT_TRUE(takes(*grammar, text)) << text;
      check_masks(*grammar, text);
    }
    for (const std::string& text : row.bad) EXPECT_FALSE(takes(*grammar, text)) << text;
  }
}

// Counts of a bounded string agree with the vocabulary's table at each of them.
TEST(Grammar, CountsNearTheirEnds) {
  check({Language::kJsonSchema,
         R"({"type":"string","minLength":3,"maxLength":40})",
         {"\"" + std::string(40, 'a') + "\"", R"("a\n\u00e9日本")"},
         {"\"" + std::string(41, 'a') + "\"", "\"ab\""}});
}

TEST(Matcher, ForcedBytesAndCopies) {
  const auto grammar = make(
      Language::kJsonSchema,
      R"({"type":"object","properties":{"name":{"enum":["ab","ac"]}},"required":["name"],"additionalProperties":false})");
  ASSERT_TRUE(grammar.ok()) << grammar.status();
  Matcher matcher(*grammar);
  EXPECT_EQ(matcher.forced_bytes(), "{");  // then a blank, or not
  ASSERT_TRUE(matcher.accept_bytes("{\""));
  EXPECT_EQ(matcher.forced_bytes(), "name\":");
  const Matcher kept = matcher;
  ASSERT_TRUE(matcher.accept_bytes("name\":\"ab"));
  EXPECT_FALSE(matcher.accept_bytes("x"));
  EXPECT_EQ(matcher.forced_bytes(), "\"");
  matcher = kept;
  EXPECT_TRUE(matcher.accept_bytes("name\":\"ac\"}"));
  EXPECT_TRUE(matcher.must_end());
  EXPECT_TRUE(matcher.accept(kEnd));
}

}  // namespace
}  // namespace polymath::text::grammar
