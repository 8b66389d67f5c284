#include "api/messages/request.h"

#include <gtest/gtest.h>

#include "api/status.h"

namespace polymath::api {
namespace {

base::JsonValue json_of(std::string_view text) {
  auto parsed = base::parse_json(text, {});
  EXPECT_TRUE(parsed.ok()) << text;
  return *std::move(parsed);
}

absl::StatusOr<ChatOfMessages> chat_of(std::string_view members, bool counts = false) {
  return chat_of_messages(json_of(absl::StrCat("{", std::string(members), "}")), counts);
}

struct Case {
  const char* request;
  const char* wanted;
};

const Case kMessages[] = {
    {R"("messages":[{"role":"user","content":"hello"}])", R"([{"role":"user","content":"hello"}])"},
    {R"("system":[{"type":"text","text":"a","cache_control":{"type":"ephemeral"}},{"type":"text","text":"b"}],
        "messages":[{"role":"user","content":[{"type":"text","text":"c"},{"type":"text","text":"d"}]}])",
     R"([{"role":"system","content":"a\nb"},{"role":"user","content":"c\nd"}])"},
    {R"("messages":[{"role":"assistant","content":[{"type":"thinking","thinking":"t","signature":"s"},
          {"type":"redacted_thinking","data":"x"},{"type":"text","text":"a"},
          {"type":"tool_use","id":"1","name":"f","input":{"x":1}}]}])",
     R"([{"role":"assistant","content":"a","reasoning_content":"t",
          "tool_calls":[{"id":"1","type":"function","function":{"name":"f","arguments":"{\"x\":1}"}}]}])"},
    // The answers of tools come first, each a message of its own.
    {R"("messages":[{"role":"user","content":[{"type":"text","text":"go on"},
          {"type":"tool_result","tool_use_id":"1","content":[{"type":"text","text":"y"}]},
          {"type":"tool_result","tool_use_id":"2","content":"z","is_error":true},
          {"type":"tool_result","tool_use_id":"3"}]}])",
     R"([{"role":"tool","tool_call_id":"1","content":"y"},{"role":"tool","tool_call_id":"2","content":"z"},
         {"role":"tool","tool_call_id":"3","content":""},{"role":"user","content":"go on"}])"},
    {R"("messages":[{"role":"user","content":[{"type":"tool_result","tool_use_id":"1","content":"y"}]}])",
     R"([{"role":"tool","tool_call_id":"1","content":"y"}])"},
};

TEST(MessagesRequest, BlocksBecomeMessages) {
  for (const Case& row : kMessages) {
    const auto chat = chat_of(absl::StrCat(R"("max_tokens":1,)", row.request));
    ASSERT_TRUE(chat.ok()) << row.request << chat.status();
    EXPECT_EQ(chat->chat.at("messages"), json_of(row.wanted)) << base::to_text(chat->chat);
  }
}

const Case kFields[] = {
    {R"("stop_sequences":["x"],"temperature":1,"top_k":5,"top_p":0.5,"stream":true,"metadata":{"user_id":"u"})",
     R"({"stop":["x"],"temperature":1,"top_k":5,"top_p":0.5,"stream":true})"},
    {R"("tools":[{"name":"f","description":"d","input_schema":{},"cache_control":{"type":"ephemeral"}}],
        "tool_choice":{"type":"auto","disable_parallel_tool_use":true})",
     R"({"tools":[{"type":"function","function":{"name":"f","description":"d","parameters":{}}}],
         "tool_choice":"auto","parallel_tool_calls":false})"},
    {R"("tool_choice":{"type":"any"})", R"({"tool_choice":"required"})"},
    {R"("tool_choice":{"type":"tool","name":"f"})", R"({"tool_choice":{"type":"function","function":{"name":"f"}}})"},
    {R"("thinking":{"type":"adaptive"})", R"({"chat_template_kwargs":{"enable_thinking":true,"thinking":true}})"},
    {R"("thinking":{"type":"disabled"},"chat_template_kwargs":{"thinking":1})",
     R"({"include_reasoning":false,"chat_template_kwargs":{"thinking":1,"enable_thinking":false}})"},
    {R"("thinking":{"type":"enabled","budget_tokens":1024,"display":"omitted"},"speed":"fast")",
     R"({"include_reasoning":false,"thinking_token_budget":1024,
         "chat_template_kwargs":{"enable_thinking":true,"thinking":true}})"},
    {R"("thinking":{"type":"disabled","budget_tokens":1024})",
     R"({"include_reasoning":false,"chat_template_kwargs":{"enable_thinking":false,"thinking":false}})"},
    {R"("output_config":{"effort":"low","format":{"type":"json_schema","schema":{"type":"object"}}})",
     R"({"reasoning_effort":"low","response_format":{"type":"json_schema",
         "json_schema":{"name":"answer","schema":{"type":"object"},"strict":true}}})"},
};

TEST(MessagesRequest, FieldsGetTheChatsNames) {
  for (const Case& row : kFields) {
    auto chat = chat_of(absl::StrCat(R"("max_tokens":7,"messages":[],)", row.request));
    ASSERT_TRUE(chat.ok()) << row.request << chat.status();
    EXPECT_EQ(chat->chat.at("max_tokens"), 7);
    chat->chat.erase("messages");
    chat->chat.erase("max_tokens");
    EXPECT_EQ(base::JsonValue(chat->chat), json_of(row.wanted)) << base::to_text(chat->chat);
    EXPECT_TRUE(chat->unknown.empty()) << row.request;
  }
}

const Case kRefusals[] = {
    {R"("messages":[])", "max_tokens"},
    {R"("max_tokens":1)", "messages"},
    {R"("max_tokens":1,"messages":[1])", "messages[0]"},
    {R"("max_tokens":1,"messages":[{"role":"tool","content":"x"}])", "messages[0].role"},
    {R"("max_tokens":1,"messages":[{"role":"user"}])", "messages[0].content"},
    {R"("max_tokens":1,"messages":[{"role":"user","content":[{"type":"image"}]}])", "messages[0].content[0]"},
    {R"("max_tokens":1,"messages":[{"role":"user","content":[{"type":"tool_use","name":"f"}]}])",
     "messages[0].content[0]"},
    {R"("max_tokens":1,"messages":[{"role":"user","content":[{"type":"tool_result"}]}])",
     "messages[0].content[0].tool_use_id"},
    {R"("max_tokens":1,"messages":[{"role":"assistant","content":[{"type":"tool_use","id":"1"}]}])",
     "messages[0].content[0].name"},
    {R"("max_tokens":1,"messages":[{"role":"assistant","content":[{"type":"tool_use","name":"f","input":1}]}])",
     "messages[0].content[0].input"},
    {R"("max_tokens":1,"messages":[],"system":1)", "system"},
    {R"("max_tokens":1,"messages":[],"system":[{"type":"image"}])", "system[0]"},
    {R"("max_tokens":1,"messages":[],"tools":[{"type":"web_search_20250305","name":"web_search"}])", "tools[0]"},
    {R"("max_tokens":1,"messages":[],"tools":[{}])", "tools[0].name"},
    {R"("max_tokens":1,"messages":[],"tool_choice":{"type":"all"})", "tool_choice.type"},
    {R"("max_tokens":1,"messages":[],"thinking":{"type":"deep"})", "thinking.type"},
    {R"("max_tokens":1,"messages":[],"thinking":{"type":"enabled","budget_tokens":-1})", "thinking.budget_tokens"},
    {R"("max_tokens":1,"messages":[],"thinking":{"type":"enabled","budget_tokens":"x"})", "thinking.budget_tokens"},
    {R"("max_tokens":1,"messages":[],"output_config":1)", "output_config"},
    {R"("max_tokens":1,"messages":[],"output_config":{"format":{"type":"xml"}})", "output_config.format"},
    {R"("max_tokens":1,"messages":[],"mcp_servers":[{"url":"x"}])", "mcp_servers"},
};

TEST(MessagesRequest, RefusalsNameTheField) {
  for (const Case& row : kRefusals) {
    const auto chat = chat_of(row.request);
    ASSERT_FALSE(chat.ok()) << row.request;
    EXPECT_EQ(field_of(chat.status()), row.wanted) << chat.status();
    EXPECT_EQ(http_status(chat.status()), 400);
  }
}

TEST(MessagesRequest, AnAnswerGoesOnFromTheAssistantsLastWords) {
  const auto goes_on = [](const char* messages) {
    const auto chat = chat_of(absl::StrCat(R"("max_tokens":1,"messages":)", messages));
    return chat.ok() && chat->chat.contains("continue_final_message");
  };
  EXPECT_TRUE(goes_on(R"([{"role":"user","content":"a"},{"role":"assistant","content":"b"}])"));
  EXPECT_FALSE(goes_on(R"([{"role":"assistant","content":"b"},{"role":"user","content":"a"}])"));
  EXPECT_FALSE(goes_on(R"([{"role":"assistant","content":""}])"));
  EXPECT_FALSE(goes_on(R"([{"role":"assistant","content":[{"type":"text","text":"b"},
                                                          {"type":"tool_use","name":"f","input":{}}]}])"));
}

TEST(MessagesRequest, CountsNeedNoLengthAndForceNothing) {
  const auto chat = chat_of(R"("messages":[],"tool_choice":{"type":"any"},"nonsense":1)", /*counts=*/true);
  ASSERT_TRUE(chat.ok()) << chat.status();
  EXPECT_FALSE(chat->chat.contains("tool_choice"));
  EXPECT_EQ(chat->unknown, std::vector<std::string>{"nonsense"});
}

}  // namespace
}  // namespace polymath::api
