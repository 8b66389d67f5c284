#include "api/chat/chat_prompt.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "api/status.h"
#include "api/test_model.h"

namespace polymath::api {
namespace {

using testing::HasSubstr;

void add_template(ServedModel& model, std::string_view name, std::string_view source) {
  auto made = make_template(model, {std::string(name), std::string(source)}, ContentFormat::kAuto);
  ASSERT_TRUE(made.ok()) << made.status();
  model.chat_templates.push_back(*std::move(made));
}

ServedModel model_with(std::string_view source) {
  ServedModel model = stand_in_model();
  model.chat_templates.clear();
  add_template(model, "default", source);
  return model;
}

absl::StatusOr<std::string> render(const ServedModel& model, const std::string& request, bool trust = false) {
  const auto json = base::parse_json(request, {});
  if (!json.ok()) return json.status();
  ASSIGN_OR_RETURN(const ChatPrompt chat, parse_chat_prompt(*json, {}, trust));
  ASSIGN_OR_RETURN(text::RenderedChat rendered, render_chat(model, chat));
  return std::move(rendered.text);
}

// What a template shows of `fields` behind a user's "hi".
std::string shown(const ServedModel& model, const std::string& fields) {
  const auto text = render(model, R"({"messages":[{"role":"user","content":"hi"}])" + fields + "}");
  return text.ok() ? *text : field_of(text.status());
}

TEST(ChatPrompt, TheRequestChoosesAmongTheModelsTemplates) {
  ServedModel model = model_with("plain");
  add_template(model, "rag", "rag {{ documents | length }}");
  const std::string tools = R"(,"tools":[{"type":"function","function":{"name":"f"}}])";
  EXPECT_EQ(shown(model, tools), "plain");
  add_template(model, "tool_use", "tools {{ tools | length }}");
  EXPECT_EQ(shown(model, ""), "plain");
  EXPECT_EQ(shown(model, tools), "tools 1");
  EXPECT_EQ(shown(model, R"(,"tools":[])"), "plain");
  EXPECT_EQ(shown(model, R"(,"chat_template":"rag","documents":[{}])"), "rag 1");
  EXPECT_EQ(shown(model, R"(,"chat_template":"rag","documents":[{}])" + tools), "rag 1");
  EXPECT_EQ(shown(model, R"(,"chat_template":"other")"), "chat_template");
  model.chat_templates.erase(model.chat_templates.begin());
  EXPECT_EQ(shown(model, ""), "chat_template") << "no default";
  model.chat_templates.clear();
  EXPECT_EQ(shown(model, ""), "messages") << "no template";
}

// Kimi-K2.5's template shows tools_ts_str, and the tools themselves where there is none.
TEST(ChatPrompt, DeclaresToolsWhereTheTemplateReadsThem) {
  const ServedModel model = model_with("{% if tools %}{{ tools_ts_str or tools | tojson }}{% endif %}");
  EXPECT_EQ(shown(model, ""), "");
  EXPECT_EQ(shown(model, R"(,"tools":[{"type":"function","function":{"name":"f"}}])"),
            "# Tools\n\n## functions\nnamespace functions {\ntype f = (_: {}) => any;\n}\n");
  EXPECT_EQ(shown(model, R"(,"tools":[{"type":"function","function":{"parameters":{"properties":[]},"name":"f"}}])"),
            R"([{"function": {"name": "f", "parameters": {"properties": []}}, "type": "function"}])");
}

TEST(ChatPrompt, ARequestsOwnTemplateNeedsTrust) {
  const ServedModel model = stand_in_model();
  const std::string own = R"({"messages":[{"role":"user","content":"x"}],"chat_template":"{{ messages|length }}"})";
  const auto refused = render(model, own);
  EXPECT_EQ(field_of(refused.status()), "chat_template");
  EXPECT_THAT(std::string(refused.status().message()), HasSubstr("--trust-request-chat-template"));
  EXPECT_EQ(*render(model, own, true), "1");
  const std::string broken = R"({"messages":[{"role":"user","content":"x"}],"chat_template":"{% while %}"})";
  EXPECT_EQ(field_of(render(model, broken, true).status()), "chat_template");
  const std::string walks =
      R"({"messages":[{"role":"user","content":"x"}],)"
      R"("chat_template":"{% for m in messages %}{% for c in m.content %}<{{ c.text }}>{% endfor %}{% endfor %}"})";
  EXPECT_EQ(*render(model, walks, true), "<x>");
}

struct Prefill {
  const char* messages;
  const char* text;  // "": refused
};

void expect_prefills(const ServedModel& model, std::initializer_list<Prefill> rows) {
  for (const auto& [messages, text] : rows) {
    const auto got = render(model, std::string(R"({"continue_final_message":true,"messages":[)") + messages + "]}");
    EXPECT_EQ(got.ok(), *text != '\0') << messages << got.status();
    if (got.ok()) {
      EXPECT_EQ(*got, text) << messages;
    }
  }
}

TEST(ChatPrompt, ContinuesTheLastMessage) {
  const ServedModel keeps = model_with("{% for m in messages %}<{{ m.role }}>{{ m.content }}</s>\na b{% endfor %}");
  expect_prefills(
      keeps,
      {
          {R"({"role":"assistant","content":"```json\n"})", "<assistant>```json\n"},
          {R"({"role":"assistant","content":"The answer is "})", "<assistant>The answer is "},
          {R"({"role":"assistant","content":"a"})", "<assistant>a"},
          {R"({"role":"assistant","content":""})", "<assistant>"},
          {R"({"role":"assistant","content":null})", "<assistant>"},
          {R"({"role":"assistant","content":[{"type":"text","text":"a"},"b "]})", "<assistant>a\nb "},
          {R"({"role":"assistant","content":[]})", "<assistant>"},
          {R"({"role":"user","content":"x"},{"role":"assistant","content":"x"})", "<user>x</s>\na b<assistant>x"},
      });
  // Where the template trims, the blanks before the text's end go.
  const ServedModel trims = model_with("{% for m in messages %}<{{ m.role }}>\n{{ m.content | trim }}</s>{% endfor %}");
  expect_prefills(trims, {
                             {R"({"role":"assistant","content":"It is "})", "<assistant>\nIt is"},
                             {R"({"role":"assistant","content":"It is \n "})", "<assistant>\nIt is"},
                             {R"({"role":"assistant","content":""})", "<assistant>\n"},
                             {R"({"role":"assistant","content":" \n"})", "<assistant>\n"},
                         });
  // The template's own blank behind the text does not pass for the text's.
  const ServedModel spaced = model_with("{% for m in messages %} {{ m.content | trim }} </s>{% endfor %}");
  expect_prefills(spaced, {
                              {R"({"role":"assistant","content":"It is "})", " It is"},
                              {R"({"role":"assistant","content":""})", " "},
                          });
  const ServedModel hides = model_with("{% for m in messages if m.role == 'user' %}{{ m.content }}{% endfor %}");
  expect_prefills(hides, {{R"({"role":"user","content":"x"},{"role":"assistant","content":"x"})", ""}});
  const ServedModel changes = model_with("{% for m in messages %}{{ m.content | replace('x', 'y') }}{% endfor %}");
  expect_prefills(changes, {{R"({"role":"assistant","content":"x"})", ""}});
  const ServedModel walks =
      model_with("{% for m in messages %}{% for c in m.content %}<{{ c.text }}>{% endfor %}{% endfor %}");
  expect_prefills(walks, {
                             {R"({"role":"assistant","content":["a","b"]})", "<a><b"},
                             {R"({"role":"assistant","content":"a"})", "<a"},
                         });
}

TEST(ChatPrompt, AContinuedMessageEndsWhatWasGenerated) {
  const ServedModel model =
      model_with("{% for m in messages %}<{% generation %}{{ m.content | trim }}</s>{% endgeneration %}{% endfor %}");
  const auto chat = base::parse_json(R"({"continue_final_message":true,"messages":[{"role":"assistant","content":"a"},
                                        {"role":"assistant","content":"It is "}]})",
                                     {});
  const auto rendered = render_chat(model, *parse_chat_prompt(*chat, {}, false));
  ASSERT_TRUE(rendered.ok()) << rendered.status();
  EXPECT_EQ(rendered->text, "<a</s><It is");
  ASSERT_EQ(rendered->generated.size(), 2u);
  EXPECT_EQ(rendered->generated[0].end, 6u);
  EXPECT_EQ(rendered->generated[1].begin, 7u);
  EXPECT_EQ(rendered->generated[1].end, 12u);
}

TEST(ChatPrompt, VariablesOfTheRequestWin) {
  const ServedModel model =
      model_with("{{ messages | length }}{{ x }}{{ eos_token is defined }}{{ reasoning_effort }}");
  EXPECT_EQ(shown(model, R"(,"chat_template_kwargs":{"x":5},"reasoning_effort":"low")"), "15Truelow");
  EXPECT_EQ(shown(model, R"(,"chat_template_kwargs":{"messages":[]})"), "chat_template_kwargs");
}

// A chat that fits a context: the limits of a rendering grow with it.
TEST(ChatPrompt, LongChatsMeetNoLimit) {
  // Each message looks at the one before it, and at all that follow.
  const ServedModel model = model_with(
      "{% for m in messages %}{% set ns = namespace(last=true) %}"
      "{% for n in messages[loop.index:] %}{% if n.role == 'user' %}{% set ns.last = false %}{% endif %}{% endfor %}"
      "{{ m.role[0] if not ns.last else '!' }}{% endfor %}");
  std::string messages;
  for (int i = 0; i < 1500; ++i) {
    messages +=
        std::string(i > 0 ? "," : "") + R"({"role":")" + (i % 2 == 0 ? "user" : "assistant") + R"(","content":"x"})";
  }
  const auto text = render(model, R"({"messages":[)" + messages + "]}");
  ASSERT_TRUE(text.ok()) << text.status();
  EXPECT_EQ(text->size(), 1500u);
}

}  // namespace
}  // namespace polymath::api
