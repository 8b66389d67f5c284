#include "api/responses/request.h"

#include <gtest/gtest.h>

#include "api/status.h"

namespace polymath::api {
namespace {

base::JsonValue json_of(std::string_view text) {
  auto parsed = base::parse_json(text, {});
  EXPECT_TRUE(parsed.ok()) << text;
  return *std::move(parsed);
}

// The chat's members but for `messages`, or the messages.
struct Case {
  const char* request;
  const char* messages;
};

const Case kMessages[] = {
    {R"({"input":"hello"})", R"([{"role":"user","content":[{"type":"input_text","text":"hello"}]}])"},
    {R"({"input":"hello","instructions":"Be short."})",
     R"([{"role":"system","content":"Be short."},{"role":"user","content":[{"type":"input_text","text":"hello"}]}])"},
    {R"({"input":[{"role":"developer","content":"d"},{"type":"message","role":"user","content":"u"}]})",
     R"([{"role":"developer","content":"d"},{"role":"user","content":"u"}])"},
    // What the assistant did in a row is one message.
    {R"({"input":[{"type":"reasoning","summary":[],"content":[{"type":"reasoning_text","text":"r"}]},
                  {"role":"assistant","content":"a"},
                  {"type":"function_call","call_id":"1","name":"f","arguments":"{}"},
                  {"type":"function_call","call_id":"2","name":"g","arguments":"{}"},
                  {"type":"function_call_output","call_id":"1","output":"x"},
                  {"type":"function_call_output","call_id":"2","output":[{"type":"input_text","text":"y"}]}]})",
     R"([{"reasoning_content":"r","content":"a","tool_calls":[
          {"id":"1","type":"function","function":{"name":"f","arguments":"{}"}},
          {"id":"2","type":"function","function":{"name":"g","arguments":"{}"}}],"role":"assistant"},
         {"role":"tool","tool_call_id":"1","content":"x"},
         {"role":"tool","tool_call_id":"2","content":[{"type":"input_text","text":"y"}]}])"},
    // Reasoning behind an answer begins a new message, and a summary stands for reasoning that is kept back.
    {R"({"input":[{"role":"assistant","content":"a"},
                  {"type":"reasoning","summary":[{"type":"summary_text","text":"s"}],"encrypted_content":"x"},
                  {"role":"assistant","content":"b"}]})",
     R"([{"content":"a","role":"assistant"},{"reasoning_content":"s","content":"b","role":"assistant"}])"},
};

TEST(ResponsesRequest, ItemsBecomeMessages) {
  for (const Case& row : kMessages) {
    const auto asked = chat_of_responses(json_of(row.request), {});
    ASSERT_TRUE(asked.ok()) << row.request << asked.status();
    EXPECT_EQ(asked->chat.at("messages"), json_of(row.messages)) << base::to_text(asked->chat);
  }
}

const Case kFields[] = {
    {R"("max_output_tokens":5,"temperature":0.5,"stream":true)", R"({"max_tokens":5,"temperature":0.5,"stream":true})"},
    {R"("tools":[{"type":"function","name":"f","description":"d","parameters":{},"strict":true}],"tool_choice":"none")",
     R"({"tools":[{"type":"function","function":{"name":"f","description":"d","parameters":{},"strict":true}}],
         "tool_choice":"none"})"},
    {R"("tool_choice":{"type":"function","name":"f"})",
     R"({"tool_choice":{"type":"function","function":{"name":"f"}}})"},
    {R"("text":{"format":{"type":"text"},"verbosity":"low"})", R"({"response_format":{"type":"text"}})"},
    {R"("text":{"format":{"type":"json_schema","name":"n","schema":{},"strict":true}})",
     R"({"response_format":{"type":"json_schema","json_schema":{"name":"n","schema":{},"strict":true}}})"},
    {R"("reasoning":{"effort":"low","summary":"auto"})", R"({"reasoning_effort":"low"})"},
    {R"("thinking_token_budget":9)", R"({"thinking_token_budget":9})"},
    {R"("truncation":"disabled","top_logprobs":0,"background":false,"include":["reasoning.encrypted_content"])", "{}"},
};

TEST(ResponsesRequest, FieldsGetTheChatsNames) {
  for (const Case& row : kFields) {
    auto asked = chat_of_responses(json_of(absl::StrCat(R"({"input":"x",)", row.request, "}")), {});
    ASSERT_TRUE(asked.ok()) << row.request << asked.status();
    asked->chat.erase("messages");
    EXPECT_EQ(base::JsonValue(asked->chat), json_of(row.messages)) << base::to_text(asked->chat);
    EXPECT_TRUE(asked->unknown.empty()) << row.request;
  }
}

struct Refusal {
  const char* request;
  const char* field;
};
const Refusal kRefusals[] = {
    {R"({})", "input"},
    {R"({"input":1})", "input"},
    {R"({"input":[1]})", "input[0]"},
    {R"({"input":[{"role":"robot","content":"x"}]})", "input[0].role"},
    {R"({"input":[{"role":"user"}]})", "input[0].content"},
    {R"({"input":[{"type":"item_reference","id":"x"}]})", "input[0].type"},
    {R"({"input":[{"type":"function_call","call_id":"1"}]})", "input[0].name"},
    {R"({"input":[{"type":"function_call_output","output":"x"}]})", "input[0].call_id"},
    {R"({"input":[{"type":"function_call_output","call_id":"1"}]})", "input[0].output"},
    {R"({"input":"x","instructions":1})", "instructions"},
    {R"({"input":"x","store":1})", "store"},
    {R"({"input":"x","include":["message.output_text.logprobs"]})", "include"},
    {R"({"input":"x","background":true})", "background"},
    {R"({"input":"x","truncation":"auto"})", "truncation"},
    {R"({"input":"x","conversation":"c"})", "conversation"},
    {R"({"input":"x","prompt":{"id":"p"}})", "prompt"},
    {R"({"input":"x","top_logprobs":2})", "top_logprobs"},
    {R"({"input":"x","tools":[{"type":"web_search"}]})", "tools[0]"},
    {R"({"input":"x","tools":[{"type":"function"}]})", "tools[0].name"},
    {R"({"input":"x","tool_choice":{"type":"web_search"}})", "tool_choice"},
    {R"({"input":"x","text":1})", "text"},
    {R"({"input":"x","reasoning":1})", "reasoning"},
};

TEST(ResponsesRequest, RefusalsNameTheField) {
  for (const Refusal& row : kRefusals) {
    const auto asked = chat_of_responses(json_of(row.request), {});
    ASSERT_FALSE(asked.ok()) << row.request;
    EXPECT_EQ(field_of(asked.status()), row.field) << asked.status();
    EXPECT_EQ(http_status(asked.status()), 400);
  }
}

TEST(ResponsesRequest, AHistoryPrecedesTheInputAndInstructionsPrecedeBoth) {
  const base::JsonValue history = json_of(R"([{"role":"user","content":"1"},{"role":"assistant","content":"2"}])");
  const auto asked = chat_of_responses(json_of(R"({"input":[{"role":"user","content":"3"}],"instructions":"i"})"),
                                       history.get_array());
  ASSERT_TRUE(asked.ok());
  EXPECT_EQ(asked->chat.at("messages"), json_of(R"([{"role":"system","content":"i"},{"role":"user","content":"1"},
                                                    {"role":"assistant","content":"2"},{"role":"user","content":"3"}])"));
  EXPECT_EQ(base::JsonValue(asked->messages).get_array().size(), 3u);
}

TEST(ResponsesRequest, UnknownFieldsAreNamedAndTheOthersRepeated) {
  const auto asked = chat_of_responses(json_of(R"({"input":"x","nonsense":1,"metadata":{"a":"b"},"store":false})"), {});
  ASSERT_TRUE(asked.ok());
  EXPECT_EQ(asked->unknown, std::vector<std::string>{"nonsense"});
  EXPECT_FALSE(asked->store);
  EXPECT_EQ(asked->echoed.at("metadata"), json_of(R"({"a":"b"})"));
  EXPECT_EQ(asked->echoed.at("store"), false);
  EXPECT_EQ(asked->echoed.at("tool_choice"), "auto");
}

}  // namespace
}  // namespace polymath::api
