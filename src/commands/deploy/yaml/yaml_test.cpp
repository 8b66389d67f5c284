#include "commands/deploy/yaml/yaml.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace polymath::commands {
namespace {

using testing::HasSubstr;

struct Case {
  const char* yaml;
  const char* json;  // an array of the documents
};

constexpr Case kRead[] = {
    {"", "[]"},
    {"# only a comment\n---\n...\n", "[]"},
    {"a: 1\nb: two\n", R"([{"a":1,"b":"two"}])"},
    {"a: 1\n---\nb: 2\n", R"([{"a":1},{"b":2}])"},
    {"a:\n  b:\n    c: x\n  d: z\n", R"([{"a":{"b":{"c":"x"},"d":"z"}}])"},
    {"a:\n- 1\n- 2\nb: 3\n", R"([{"a":[1,2],"b":3}])"},
    {"a:\n  - x: 1\n    y: 2\n  - x: 3\n", R"([{"a":[{"x":1,"y":2},{"x":3}]}])"},
    {"- - 1\n  - 2\n- 3\n", "[[[1,2],3]]"},
    {"a:\n  -\n    b: 1\n  -\n", R"([{"a":[{"b":1},null]}])"},
    {"a:\nb: ~\nc: null\n", R"([{"a":null,"b":null,"c":null}])"},
    {"a: [1, \"x, y\", {b: c}]\nd: {}\n", R"([{"a":[1,"x, y",{"b":"c"}],"d":{}}])"},
    {"a: [\n  1,  # one\n  2\n]\nb: 3\n", R"([{"a":[1,2],"b":3}])"},
    {"a: \"tab\\t \\u00e9\"\nb: 'it''s'\n", "[{\"a\":\"tab\\t \xc3\xa9\",\"b\":\"it's\"}]"},
    {"a: yes\nb: No\nc: \"yes\"\nd: off\ne: n\n", R"([{"a":true,"b":false,"c":"yes","d":false,"e":false}])"},
    {"a: 010\nb: 1.5\nc: 1e3\nd: 1.2.3\ne: -7\nf: 0x\n", R"([{"a":8,"b":1.5E0,"c":1E3,"d":"1.2.3","e":-7,"f":"0x"}])"},
    {"a: http://x:80/y#z  # c\n", R"([{"a":"http://x:80/y#z"}])"},
    {"\"q: x\": 1\n'b' : 2\n", R"([{"q: x":1,"b":2}])"},
    {"a: |\n  one\n   two\n\n  # no comment\nb: 1\n", R"([{"a":"one\n two\n\n# no comment\n","b":1}])"},
    {"a: |-\n  one\n  two\n", R"([{"a":"one\ntwo"}])"},
    {"a: |+\n  one\n\nb: 1\n", R"([{"a":"one\n\n","b":1}])"},
    {"a: >-\n  one\n  two\n\n  three\n", R"([{"a":"one two\nthree"}])"},
    {"a: |2\n   one\n", R"([{"a":" one\n"}])"},
    {"- |\n  x\n- z\n", R"([["x\n","z"]])"},
    {"a:\r\n  b: 1\r\n", R"([{"a":{"b":1}}])"},
    {"just a scalar\n", R"(["just a scalar"])"},
    {"expr: |\n  rate(x[5m])\n  > 30\nfor: 5m\n", R"([{"expr":"rate(x[5m])\n> 30\n","for":"5m"}])"},
    {"- \"--model\"\n- org/name\n- \"2\" # two\n", R"([["--model","org/name","2"]])"},
};

TEST(Yaml, ReadsWhatManifestsAreWrittenIn) {
  for (const Case& c : kRead) {
    SCOPED_TRACE(c.yaml);
    const auto documents = parse_yaml(c.yaml);
    ASSERT_TRUE(documents.ok()) << documents.status();
    EXPECT_EQ(base::to_text(base::JsonArray(documents->begin(), documents->end())), c.json);
  }
}

TEST(Yaml, RefusesTheRestByName) {
  constexpr Case kCases[] = {
      {"a: 1\na: 2\n", "line 2: `a` occurs twice"},
      {"a: {b: 1, b: 2}\n", "`b` occurs twice"},
      {"a: &x 1\n", "anchors"},
      {"a: *x\n", "anchors"},
      {"&x a: 1\n", "anchors"},
      {"<<: 1\n", "merge keys"},
      {"a: !!str 1\n", "anchors, aliases and tags"},
      {"a: 1\n  b: 2\n", "line 2: a scalar of several lines"},
      {"a: [1, 2\n", "a , or ] is missing"},
      {"a: \"x\n", "a quote is missing"},
      {"a: \"\\x41\"\n", "an escape"},
      {"a:\n\tb: 1\n", "line 2: a tab"},
      {"a:\n  b: 1\n c: 2\n", "line 3"},
      {"a: 1\nb\n", "line 2: neither"},
      {"a: \"x\" y\n", "text behind a value"},
      {"a: |x\n  b\n", "behind | and >"},
      {"--- a: 1\n", "text behind ---"},
      {"a: @x\n", "must not begin so"},
  };
  for (const auto& [yaml, error] : kCases) {
    SCOPED_TRACE(yaml);
    const auto documents = parse_yaml(yaml);
    ASSERT_EQ(documents.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(documents.status().message()), HasSubstr(error));
  }
  EXPECT_FALSE(parse_yaml(std::string(1000, '[')).ok());
  std::string deep;
  for (int i = 0; i < 100; ++i) deep += std::string(static_cast<size_t>(i), ' ') + "a:\n";
  EXPECT_THAT(std::string(parse_yaml(deep).status().message()), HasSubstr("nested too deep"));
}

TEST(Yaml, WritesWhatItReads) {
  const base::JsonValue value = *base::parse_json(
      R"({"s":"plain","args":["--model","b","2",""],"m":2,"t":true,"none":null,"empty":{},"list":[],
          "words":["yes","1.5","a: b","# c","x:","-","*","é","0s","a#b","http://x/y"],
          "text":"one\ntwo\n","end":"one\ntwo","odd":" lead\nx","map":{"a/b":{"c":[{"d":1,"e":[1]},[1,2]]}}})",
      {});
  const std::string yaml = to_yaml(value);
  const auto back = parse_yaml(yaml);
  ASSERT_TRUE(back.ok()) << back.status() << "\n" << yaml;
  ASSERT_EQ(back->size(), 1u);
  EXPECT_EQ(base::to_text(back->front()), base::to_text(value)) << yaml;
  EXPECT_THAT(yaml,
              HasSubstr("s: plain\nargs:\n  - \"--model\"\n  - b\n  - \"2\"\n  - \"\"\nm: 2\nt: true\nnone: null\n"));
  EXPECT_THAT(yaml, HasSubstr("text: |\n  one\n  two\nend: |-\n  one\n  two\n"));
  EXPECT_THAT(yaml,
              HasSubstr("map:\n  a/b:\n    c:\n      - d: 1\n        e:\n          - 1\n      - - 1\n        - 2\n"));
}

}  // namespace
}  // namespace polymath::commands
