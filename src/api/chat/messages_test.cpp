#include "api/chat/messages.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "api/status.h"

namespace polymath::api {
namespace {

base::JsonValue json(const std::string& text) { return base::parse_json(text, {}).value(); }

struct Row {
  const char* sent;
  const char* regular;
};

TEST(Messages, AreMadeRegular) {
  const Row rows[] = {
      {R"({"role":"user","content":"a"})", R"({"role":"user","content":"a"})"},
      {R"({"role":"user","content":null})", R"({"role":"user","content":""})"},
      {R"({"role":"user"})", R"({"role":"user","content":""})"},
      {R"({"role":"user","content":["a",{"type":"text","text":"b","cache_control":{}}]})",
       R"({"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]})"},
      {R"({"role":"user","content":[{"type":"input_text","text":"a"},{"type":"output_text","text":"b"}]})",
       R"({"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]})"},
      {R"({"role":"user","content":[{"type":"text","text":null},{"type":"refusal","refusal":"no"}]})",
       R"({"role":"user","content":[{"type":"text","text":"no"}]})"},
      {R"({"role":"assistant","content":[{"type":"thinking","thinking":"t"},{"type":"reasoning","text":"r"}]})",
       R"({"role":"assistant","content":[{"type":"text","text":"t"},{"type":"text","text":"r"}]})"},
      {R"({"role":"user","content":[{"type":"thinking","thinking":[{"type":"text","text":"a"},"b"]}]})",
       R"({"role":"user","content":[{"type":"text","text":"a\nb"}]})"},
      {R"({"role":"user","content":[]})", R"({"role":"user","content":[]})"},
      {R"({"role":"assistant","content":"a","tool_calls":[],"refusal":null,"audio":null,"name":"n"})",
       R"({"role":"assistant","content":"a","name":"n"})"},
      {R"({"role":"assistant","content":"a","tool_calls":null})", R"({"role":"assistant","content":"a"})"},
      {R"({"role":"assistant","content":"a","reasoning":"r"})",
       R"({"role":"assistant","content":"a","reasoning":"r","reasoning_content":"r","thinking":"r"})"},
      {R"({"role":"assistant","content":"a","reasoning_content":"c","reasoning":null})",
       R"({"role":"assistant","content":"a","reasoning_content":"c","reasoning":"c","thinking":"c"})"},
      {R"({"role":"assistant","content":"a","reasoning_content":"c","reasoning":"r"})",
       R"({"role":"assistant","content":"a","reasoning_content":"c","reasoning":"r","thinking":"c"})"},
      {R"({"role":"user","content":"a","reasoning":"r"})", R"({"role":"user","content":"a","reasoning":"r"})"},
      {R"({"role":"assistant","content":"a","reasoning":"r","tool_calls":[{}]})",
       R"({"role":"assistant","content":"a","reasoning":"r","reasoning_content":"r","tool_calls":[{}]})"},
      {R"({"role":"assistant","content":null,"reasoning":"r","tool_calls":[{}]})",
       R"({"role":"assistant","content":"","reasoning":"r","reasoning_content":"r","thinking":"r","tool_calls":[{}]})"},
      {R"({"role":"assistant","content":"a","reasoning":"r","tool_calls":[]})",
       R"({"role":"assistant","content":"a","reasoning":"r","reasoning_content":"r","thinking":"r"})"},
  };
  for (const Row& row : rows) {
    const auto request = json(std::string(R"({"messages":[)") + row.sent + "]}");
    const auto regular = regular_messages(request.get_object(), {});
    ASSERT_TRUE(regular.ok()) << row.sent << " " << regular.status();
    EXPECT_EQ((*regular)[0], json(row.regular)) << base::to_text((*regular)[0]);
  }
}

TEST(Messages, AreRefusedByName) {
  const Row rows[] = {
      {R"({})", "messages"},
      {R"({"messages":[]})", "messages"},
      {R"({"messages":[1]})", "messages[0]"},
      {R"({"messages":[{"role":"user","content":"a"},{"content":"a"}]})", "messages[1]"},
      {R"({"messages":[{"role":"user","content":5}]})", "messages[0]"},
      {R"({"messages":[{"role":"user","content":[5]}]})", "messages[0]"},
      {R"({"messages":[{"role":"user","content":[{"text":"a"}]}]})", "messages[0]"},
      {R"({"messages":[{"role":"user","content":[{"type":"text","text":5}]}]})", "messages[0]"},
      {R"({"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"x"}}]}]})", "messages[0]"},
      {R"({"messages":[{"role":"assistant","tool_calls":{}}]})", "messages[0]"},
      {R"({"messages":[{"role":"assistant","tool_calls":["x"]}]})", "messages[0]"},
  };
  for (const Row& row : rows) {
    const auto status = regular_messages(json(row.sent).get_object(), {.messages_max = 2}).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << row.sent;
    EXPECT_EQ(field_of(status), row.regular) << row.sent;
  }
  const auto many = json(R"({"messages":[{"role":"a"},{"role":"a"},{"role":"a"}]})");
  EXPECT_EQ(field_of(regular_messages(many.get_object(), {.messages_max = 2}).status()), "messages");
}

TEST(Messages, ToolsAreRefusedByName) {
  const Row rows[] = {
      {R"({})", ""},
      {R"({"tools":null})", ""},
      {R"({"tools":[]})", ""},
      {R"({"tools":[{"type":"function","function":{"name":"f"}}]})", ""},
      {R"({"tools":{}})", "tools"},
      {R"({"tools":[1]})", "tools"},
      {R"({"tools":[{"type":"function"}]})", "tools[0].function"},
      {R"({"tools":[{"type":"function","function":{"name":"f"}},{"type":"function","name":"g","parameters":{}}]})",
       "tools[1].function"},
      {R"({"tools":[{"type":"function","function":"f"}]})", "tools[0].function"},
      {R"({"tools":[{"type":"function","function":{}}]})", "tools[0].function.name"},
  };
  for (const Row& row : rows) {
    const auto tools = checked_tools(json(row.sent).get_object(), {});
    EXPECT_EQ(tools.ok(), std::string(row.regular).empty()) << row.sent;
    EXPECT_EQ(field_of(tools.status()), row.regular) << row.sent;
  }
  const auto flat = checked_tools(json(R"({"tools":[{"type":"function","name":"f"}]})").get_object(), {});
  EXPECT_THAT(std::string(flat.status().message()), testing::HasSubstr("Responses API"));
}

}  // namespace
}  // namespace polymath::api
