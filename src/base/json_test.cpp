#include "base/json.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>

#include "base/json_memory.h"

namespace polymath::base {
namespace {

TEST(Json, ParsesOrSaysWhere) {
  struct Row {
    const char* text;
    const char* complaint;  // a part of it; null: fine
  };
  for (const auto& [text, complaint] : {
           Row{"{}", nullptr},
           Row{" [1, 2.5, \"\\u00e9\"] \r\n\t", nullptr},
           Row{"null", nullptr},
           Row{"\"\xc3\xa9\"", nullptr},
           Row{"", "byte 0"},
           Row{"{\"a\":1", "byte 6"},
           Row{"{\"a\":}", "byte 5"},
           Row{"{} x", "byte 3"},
           Row{"{}\v", "byte 2"},
           Row{"NaN", "byte 0"},
           Row{"[1,]", "byte 3"},
           Row{"'a'", "byte 0"},
           Row{"\"\xff\"", "byte 1: not UTF-8"},
           Row{"\"\xed\xa0\x80\"", "not UTF-8"},  // half of a surrogate pair, as bytes
           Row{R"("\ud800")", "byte"},
           Row{"[[[[1]]]]", "byte"},
           Row{"\"0123456789012345678901234567890123456789\"", "at most 40"},
       }) {
    const auto parsed = parse_json(text, {.depth_max = 3, .bytes_max = 40});
    EXPECT_EQ(complaint == nullptr, parsed.ok()) << text << " " << parsed.status();
    if (complaint == nullptr || parsed.ok()) continue;
    EXPECT_EQ(absl::StatusCode::kInvalidArgument, parsed.status().code());
    EXPECT_NE(std::string::npos, std::string(parsed.status().message()).find(complaint)) << parsed.status();
  }
}

TEST(Json, HalvesOfSurrogatePairsAreMended) {
  const struct {
    const char *text, *mended;
  } rows[] = {
      {R"("\ud83d\ude00")", "\U0001f600"},
      {R"("a\ud83d")", "a\xEF\xBF\xBD"},
      {R"("\uD83Dz")", "\xEF\xBF\xBDz"},
      {R"("\ude00")", "\xEF\xBF\xBD"},
      {R"("\ud83d\ud83d\ude00")", "\xEF\xBF\xBD\U0001f600"},
      {R"("\\ud83d")", "\\ud83d"},
      {R"("\ud83d\n")", "\xEF\xBF\xBD\n"},
      {R"("\u00e9")", "é"},
  };
  for (const auto& row : rows) {
    const auto parsed = parse_json(row.text, {.mend_surrogates = true});
    ASSERT_TRUE(parsed.ok()) << row.text << parsed.status();
    EXPECT_EQ(parsed->as_string(), row.mended) << row.text;
  }
  for (const char* bad : {R"("\ud8)", R"("\ud8zz")", R"("\u")", "\"\\"}) {
    EXPECT_FALSE(parse_json(bad, {.mend_surrogates = true}).ok()) << bad;
  }
}

TEST(Json, ReadsPythonsNonFiniteNumbersAsStrings) {
  const auto parsed =
      parse_json(R"({"a": [NaN, -Infinity], "b\"NaN": "Infinity \\", "c":Infinity})", {.non_finite = true});
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_EQ(R"({"a":["NaN","-Infinity"],"b\"NaN":"Infinity \\","c":"Infinity"})", to_text(*parsed));
}

TEST(Json, OnlyNanIsNan) { EXPECT_EQ(parse_json("-0e-99999", {})->to_number<double>(), 0); }

TEST(Json, ReadsPythonsNonFiniteNumbersAsNumbers) {
  const auto parsed = parse_json(R"({"a": [NaN, -Infinity, Infinity, -0.0], "b": "NaN \ud83d"})",
                                 {.mend_surrogates = true, .non_finite_numbers = true});
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  const JsonArray& numbers = parsed->at("a").get_array();
  EXPECT_TRUE(std::isnan(numbers[0].get_double()));
  EXPECT_EQ(numbers[1].get_double(), -std::numeric_limits<double>::infinity());
  EXPECT_EQ(numbers[2].get_double(), std::numeric_limits<double>::infinity());
  EXPECT_EQ(numbers[3].get_double(), 0);
  EXPECT_EQ(parsed->at("b").get_string(), "NaN \xEF\xBF\xBD");
  EXPECT_FALSE(parse_json("NaN", {}).ok());
}

TEST(Json, TreesShareABudget) {
  ByteBudget budget(8u << 20);
  const auto parse = [&](const std::string& text) {
    const auto never_fits = std::make_shared<bool>(false);
    const auto memory = boost::json::make_shared_resource<JsonMemory>(budget, never_fits);
    auto parsed = parse_json(text, {}, memory);
    return std::pair(std::move(parsed), *never_fits);
  };
  std::string wide = "[0";
  {
    std::string texts = "[[1,2]";
    for (int i = 0; i < 100; ++i) texts += ",\"" + std::string(60000, 'b') + "\"";
    const auto tree = parse(texts + "]").first;
    ASSERT_TRUE(tree.ok()) << tree.status();
    EXPECT_GT(budget.used(), 6000000u);
    EXPECT_EQ(to_text(tree->at(0)), "[1,2]");
    for (int i = 0; i < 30000; ++i) wide += ",[0]";
    const auto [beside, beside_never] = parse(wide);
    EXPECT_EQ(beside.status().code(), absl::StatusCode::kUnavailable) << beside.status();
    EXPECT_FALSE(beside_never) << "alone it fits";
  }
  EXPECT_EQ(budget.used(), 0u);
  for (int i = 0; i < 300000; ++i) wide += ",[0]";
  EXPECT_TRUE(parse(wide + "]").second);
  EXPECT_EQ(budget.used(), 0u);
}

TEST(JsonReader, ConfigsKnowWhatWasNotRead) {
  const auto root = parse_json(R"({"a": 1, "b": {"c": 2, "d": 3, "e": null}, "f": {"g": 1}, "h": false, "i": [], "j": 0,
      "k": ""})",
                               {});
  ASSERT_TRUE(root.ok()) << root.status();
  JsonReader j(*root);
  j.read_as_config();
  EXPECT_TRUE(j.b("a"));
  EXPECT_EQ(2, j.object("b").i("c"));
  EXPECT_TRUE(j.has("f"));
  EXPECT_EQ((std::vector<std::string>{"b.d", "j"}), j.unread());
  EXPECT_FALSE(j.has("absent"));
  EXPECT_EQ((std::vector<std::string>{"a", "absent", "b", "b.c", "f"}), j.asked());
}

TEST(Json, KeepsTextAndTheLastOfEqualKeys) {
  const auto parsed = parse_json(R"({"a":1,"a":"é\n"})", {});
  ASSERT_TRUE(parsed.ok());
  EXPECT_EQ("{\"a\":\"é\\n\"}", to_text(*parsed));
}

TEST(Json, KeysMayHaveToBeUnique) {
  const struct {
    const char* text;
    bool unique;
  } rows[] = {
      {"{}", true},
      {R"({"a":1,"b":{"a":1}})", true},
      {R"([{"a":1},{"a":1}])", true},
      {R"({"a":1,"a":1})", false},
      {R"({"a":1,"\u0061":1})", false},
      {R"([{"x":{"a":{"b":1},"a":2}}])", false},
  };
  for (const auto& row : rows) EXPECT_EQ(parse_json(row.text, {.unique_keys = true}).ok(), row.unique) << row.text;
}

// Numbers that Boost 1.81 alone would round to a neighbour, and the ends of the range.
TEST(Json, ReadsTheNearestDouble) {
  for (const char* text :
       {"-15.886693330064089", "-15.894285306638331", "0.1", "1e23", "123456789012345678901234567890",
        "2.2250738585072011e-308", "5e-324", "1.7976931348623157e308", "-0.0", "1E2"}) {
    const auto parsed = parse_json(std::string("[") + text + "]", {});
    ASSERT_TRUE(parsed.ok()) << parsed.status();
    EXPECT_EQ(std::strtod(text, nullptr), parsed->get_array()[0].to_number<double>()) << text;
  }
}

TEST(Json, ReadsFiles) {
  const std::string path = testing::TempDir() + "polymath_json_test.json";
  std::ofstream(path) << R"({"a": 3})";
  const auto parsed = read_json_file(path, {});
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_EQ(3, JsonReader(*parsed).i("a"));
  EXPECT_EQ(absl::StatusCode::kInvalidArgument, read_json_file(path, {.bytes_max = 4}).status().code());
  std::ofstream(path) << "{";
  const auto bad = read_json_file(path, {}).status();
  EXPECT_EQ(absl::StatusCode::kInvalidArgument, bad.code());
  EXPECT_NE(std::string::npos, std::string(bad.message()).find(path));
  std::remove(path.c_str());
  EXPECT_EQ(absl::StatusCode::kNotFound, read_json_file(path, {}).status().code());
  EXPECT_FALSE(read_json_file(testing::TempDir(), {}).ok()) << "a directory";
}

constexpr const char* kDocument =
    R"({"n": 7, "whole": 8.0, "half": 1.5, "big": 4294967296, "huge": 18446744073709551615,
    "t": true, "s": "x", "null": null, "ints": [1, 2.0, -2147483648], "strings": ["a"], "mixed": [1, "a"],
    "intermediate": {"k": 1, "bad": "x"}, "floats": [0.5, 1], "vast": [1e300]})";

TEST(JsonReader, ReadsWhatIsThere) {
  const auto root = parse_json(kDocument, {});
  ASSERT_TRUE(root.ok()) << root.status();
  JsonReader j(*root);
  EXPECT_EQ(7, j.i("n"));
  EXPECT_EQ(8, j.i("whole"));
  EXPECT_EQ(4294967296, j.i64("big"));
  EXPECT_EQ(1.5, j.f("half"));
  EXPECT_EQ(7.0, j.f("n"));
  EXPECT_TRUE(j.b("t"));
  EXPECT_EQ("x", j.s("s"));
  EXPECT_EQ((std::vector<int>{1, 2, -2147483648}), j.ints("ints"));
  EXPECT_EQ((std::vector<double>{0.5, 1}), j.numbers("floats"));
  EXPECT_EQ((std::vector<std::string>{"a"}), j.strings("strings"));
  EXPECT_EQ(1, j.object("intermediate").i("k"));
  EXPECT_FALSE(j.has("null"));
  EXPECT_EQ(5, j.i("null", 5));
  EXPECT_EQ(-1, j.i("absent", -1));
  EXPECT_EQ("d", j.s("absent", "d"));
  EXPECT_TRUE(j.ints("absent").empty());
  EXPECT_FALSE(j.object("absent").has("k"));
  EXPECT_TRUE(j.status().ok()) << j.status();
}

TEST(JsonReader, ComplainsWithAPath) {
  const auto root = parse_json(kDocument, {});
  ASSERT_TRUE(root.ok());
  struct Row {
    void (*read)(JsonReader&);
    const char* complaint;
  };
  for (const auto& [read, complaint] : {
           Row{[](JsonReader& j) { j.i("absent"); }, "absent: missing"},
           Row{[](JsonReader& j) { j.i("null"); }, "null: missing"},
           Row{[](JsonReader& j) { j.i("half"); }, "half: must be an integer"},
           Row{[](JsonReader& j) { j.i("big"); }, "big: out of range"},
           Row{[](JsonReader& j) { j.i64("huge"); }, "huge: must be an integer"},
           Row{[](JsonReader& j) { j.i("s", 3); }, "s: must be an integer"},
           Row{[](JsonReader& j) { j.f("t"); }, "t: must be a number"},
           Row{[](JsonReader& j) { j.b("n"); }, "n: must be true or false"},
           Row{[](JsonReader& j) { j.s("n"); }, "n: must be a string"},
           Row{[](JsonReader& j) { j.ints("floats"); }, "floats: must be an array of integers"},
           Row{[](JsonReader& j) { j.ints("vast"); }, "vast: must be an array of integers"},
           Row{[](JsonReader& j) { j.numbers("mixed"); }, "mixed: must be an array of numbers"},
           Row{[](JsonReader& j) { j.strings("mixed"); }, "mixed: must be an array of strings"},
           Row{[](JsonReader& j) { j.strings("n"); }, "n: must be an array of strings"},
           Row{[](JsonReader& j) { j.object("n"); }, "n: must be an object"},
           Row{[](JsonReader& j) { j.object("intermediate").i("bad"); }, "intermediate.bad: must be an integer"},
           Row{[](JsonReader& j) { j.complain("n", "must be even"), j.i("absent"); }, "n: must be even"},
       }) {
    JsonReader j(*root);
    read(j);
    EXPECT_EQ(absl::InvalidArgumentError(complaint), j.status());
  }
  JsonReader list(JsonValue(JsonArray{}), "config.json");
  EXPECT_EQ(absl::InvalidArgumentError("config.json: must be an object"), list.status());
  EXPECT_EQ(0, list.i("n"));
}

}  // namespace
}  // namespace polymath::base
