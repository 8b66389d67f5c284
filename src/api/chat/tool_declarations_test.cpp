#include "api/chat/tool_declarations.h"

#include <gtest/gtest.h>

#include <string>

namespace polymath::api {
namespace {

base::JsonValue json(const std::string& text) { return base::parse_json(text, {}).value(); }

std::string declare(const std::string& tools) {
  const base::JsonValue sorted = sorted_members(json(tools));
  return declare_tools(sorted.get_array()).value_or("none");
}

// What is between the braces, of one function with these parameters.
std::string declare_one(const std::string& parameters) {
  const std::string text = declare(R"([{"type":"function","function":{"name":"f","parameters":)" + parameters + "}}]");
  const std::string begin = "# Tools\n\n## functions\nnamespace functions {\n", end = "\n}\n";
  if (!text.starts_with(begin) || !text.ends_with(end)) return text;
  return text.substr(begin.size(), text.size() - begin.size() - end.size());
}

// The type of a field `x` with this schema.
std::string declare_field(const std::string& schema) {
  const std::string text = declare_one(R"({"type":"object","required":["x"],"properties":{"x":)" + schema + "}}");
  const std::string begin = "type f = (_: {\n", end = "\n}) => any;";
  if (!text.starts_with(begin) || !text.ends_with(end)) return text;
  return text.substr(begin.size(), text.size() - begin.size() - end.size());
}

TEST(ToolDeclarations, AreTheTokenizersOwn) {
  EXPECT_EQ(declare(R"([{"type":"function","function":{"name":"get_weather","description":"Tells the weather.\n\nNow.",
      "parameters":{"type":"object","required":["city"],"properties":{"days":{"type":"integer","default":1,"minimum":0},
      "city":{"type":"string","description":"Which city?"}}}}},{"type":"function","function":{"name":"now"}}])"),
            "# Tools\n\n## functions\nnamespace functions {\n// Tells the weather.\n\n// Now.\n"
            "type get_weather = (_: {\n  // Which city?\n  city: string,\n  // minimum: 0\n  // Default: 1\n"
            "  days?: number\n}) => any;\ntype now = (_: {}) => any;\n}\n");
  EXPECT_EQ(declare(R"([{"type":"_plugin","function":{"name":"f"}}])"), "");
}

struct Row {
  const char* schema;
  const char* text;
};

// Expected texts: tool_declaration_ts.py.
TEST(ToolDeclarations, OfEachKindOfSchema) {
  const Row rows[] = {
      {R"({"type":"boolean"})", "  x: boolean"},
      {R"({})", "  x: any"},
      {R"(false)", "  x: null"},
      {R"({"type":"string","pattern":"^a\\d$","maxLength":5,"default":"é"})",
       "  // maxLength: 5, pattern: ^a\\d$\n  // Default: \"é\"\n  x: string"},
      {R"({"type":"number","default":true,"maximum":2.5})", "  // maximum: 2.5\n  // Default: True\n  x: number"},
      {R"({"enum":["a",1,2.5,null,true]})", "  x: \"a\" | 1 | 2.5 | None | True"},
      {R"({"type":["string","null"],"enum":["a",null]})", "  x: \"a\" | None"},
      {R"({"type":["integer","array","object"]})", "  x: number | Array<any> | {}"},
      {R"({"anyOf":[{"type":"string"},{"type":"array","items":{"type":"integer"}}]})", "  x: string | Array<number>"},
      {R"({"type":"array","minItems":1,"items":{"type":"string","description":"one"}})",
       "  // minItems: 1\n  x: Array<\n    // one\n    string\n  >"},
      {R"({"type":"object","additionalProperties":{"type":"integer"}})", "  x: {\n    [k: string]: number\n  }"},
      {R"({"type":"object","additionalProperties":false})", "  x: {\n    [k: string]: never\n  }"},
      {R"({"type":"object","required":["b"],"properties":{"a":true,"b":{"type":"string","default":[1,"s"]}}})",
       "  x: {\n    // Default: [1, \"s\"]\n    b: string,\n    a?: any\n  }"},
  };
  for (const Row& row : rows) EXPECT_EQ(declare_field(row.schema), row.text) << row.schema;
}

TEST(ToolDeclarations, OfReferences) {
  EXPECT_EQ(declare_one(
                R"({"$defs":{"N":{"type":"object","description":"a node"}},"properties":{"n":{"$ref":"#/$defs/N"}}})"),
            "// a node\ninterface N {}\ntype f = (_: {\n  n?: N\n}) => any;");
  EXPECT_EQ(declare_one(R"({"required":["b"],"properties":{"b":{"type":"string"},"a":{"$ref":"#"}}})"),
            "interface parameters {\n  a?: parameters,\n  b: string\n}\ntype f = (_: parameters) => any;");
}

TEST(ToolDeclarations, ThereIsNoneOfASchemaThatIsNone) {
  for (const char* schema :
       {R"({"description":"x"})", R"({"$ref":"#/$defs/N"})", R"({"$ref":"other"})", R"({"type":5})",
        R"({"type":["string","text"]})", R"({"type":"string","enum":[1]})", R"({"enum":"a"})",
        R"({"type":["a","b"],"enum":[]})", R"({"type":"object","properties":[]})", "5"}) {
    EXPECT_EQ(declare_field(schema), "none") << schema;
  }
}

}  // namespace
}  // namespace polymath::api
