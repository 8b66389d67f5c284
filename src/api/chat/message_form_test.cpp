#include "api/chat/message_form.h"

#include <gtest/gtest.h>

#include <string>

#include "api/status.h"

namespace polymath::api {
namespace {

base::JsonValue json(const std::string& text) { return base::parse_json(text, {}).value(); }

// Small templates in the manners of published ones.
constexpr const char* kPlain = "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}";
constexpr const char* kNeedsParts =
    "{% for m in messages %}<{{ m.role }}>{% for c in m.content %}{{ c.text }}|{% endfor %}{% endfor %}";
constexpr const char* kTakesBoth =
    "{% for m in messages %}{% if m.role == 'tool' %}<r>{{ m.content }}</r>{% elif m.content is string %}"
    "{{ m.content }}{% else %}{% for p in m.content %}{{ p.text }};{% endfor %}{% endif %}{% endfor %}";
constexpr const char* kFirstPart = "{% for m in messages %}<{{ m.role }}>{{ m.content[0].text }}{% endfor %}";
constexpr const char* kTextSystem =
    "{% if messages[0].role == 'system' %}S:{{ messages[0].content | trim }};{% set messages = messages[1:] %}{% endif "
    "%}"
    "{% for m in messages %}{% if m.content is string %}{{ m.content }}{% else %}"
    "{% for p in m.content %}{{ p.text }};{% endfor %}{% endif %}{% endfor %}";
constexpr const char* kMacro =
    "{% macro show(content) %}{% if content is string %}{{ content }}{% else %}{% for p in content %}{{ p.text }}"
    "{% endfor %}{% endif %}{% endmacro %}{% for m in messages %}{{ show(m.content) }}{% endfor %}";
constexpr const char* kCallsBegin = "{% for m in messages %}<{{ m.role }}>{% if m.tool_calls %}";
constexpr const char* kCallsEnd = "{% else %}{{ m.content }}{% endif %}{% endfor %}";

std::string calls(const char* body) {
  return std::string(kCallsBegin) + "{% for c in m.tool_calls %}{{ c.function.name }}(" + body + "){% endfor %}" +
         kCallsEnd;
}
const std::string kObject = calls("{% for k, v in c.function.arguments.items() %}{{ k }}={{ v }}{% endfor %}");
const std::string kText = calls("{{ '' + c.function.arguments }}");
const std::string kShowsNone = calls("{{ c.function.arguments | tojson }}{{ m.content }}");
const std::string kNullObject =
    "{% for m in messages %}{% if m.content is none %}{% for c in m.tool_calls %}{{ c.function.name }}"
    "{% for k, v in c.function.arguments | items %}{{ k }}={{ v }}{% endfor %}{% endfor %}"
    "{% else %}{{ m.content }}{% endif %}{% endfor %}";
const std::string kNullText =
    "{% for m in messages %}{% if m.content is none %}{% for c in m.tool_calls %}{{ c.function.name ~ ' ' }}"
    "{{ '' + c.function.arguments }}{% endfor %}{% else %}{{ m.content }}{% endif %}{% endfor %}";

constexpr const char* kOneSystem =
    "{% for m in messages %}{% if m.role == 'system' and not loop.first %}{{ raise_exception('first') }}{% endif %}"
    "<{{ m.role }}>{{ m.content }}{% endfor %}";
constexpr const char* kLastSystem =
    "{% set ns = namespace(s='') %}{% for m in messages %}{% if m.role == 'system' %}{% set ns.s = m.content %}"
    "{% endif %}{% endfor %}{{ ns.s }}{% for m in messages if m.role != 'system' %}<{{ m.role }}>{{ m.content }}"
    "{% endfor %}";
constexpr const char* kDeveloper =
    "{% for m in messages %}{% if m.role == 'developer' %}D:{% endif %}{{ m.content }};{% endfor %}";
constexpr const char* kHidesDeveloper =
    "{% for m in messages if m.role != 'developer' %}<{{ m.role }}>{{ m.content }}{% endfor %}";

constexpr const char* kResultsBegin =
    "{% for m in messages %}<{{ m.role }}>{% if m.tool_calls %}{% for c in m.tool_calls %}{{ c.function.name }}"
    "{{ c.function.arguments | tojson }}{% endfor %}{% elif m.role == 'tool' %}";
std::string results(const char* body) { return std::string(kResultsBegin) + body + kCallsEnd; }
const std::string kNeedsName = results("{{ m.name + '=' + m.content }}");
const std::string kMayHaveName = results("{{ m.name or m.tool_call_id }}={{ m.content }}");
// As Command-A-Reasoning: parts alone are read beside calls and in answers.
const std::string kPartsBesideCalls =
    "{% for m in messages %}<{{ m.role }}>{% if m.tool_calls %}{% if m.content[0].thinking %}T{% endif %}"
    "{% for c in m.tool_calls %}{{ c.function.name }}{{ c.function.arguments | tojson }}{% endfor %}"
    "{% elif m.role == 'tool' %}{% for p in m.content %}{{ p.text }};{% endfor %}{% elif m.content is string %}"
    "{{ m.content }}{% else %}{% for p in m.content %}{{ p.text }}.{% endfor %}{% endif %}{% endfor %}";

struct Row {
  std::string source;
  const char* messages;
  const char* text;
};

std::string render(const Row& row, ContentFormat format = ContentFormat::kAuto) {
  const auto parsed = text::ChatTemplate::parse(row.source, {});
  if (!parsed.ok()) return std::string(parsed.status().message());
  const MessageForm form = probe_template(*parsed, row.source, {}, format);
  const auto fitted = fit_messages(json(row.messages).get_array(), form);
  if (!fitted.ok()) return "400 " + field_of(fitted.status());
  const auto chat = parsed->render(base::JsonObject{{"messages", *fitted}, {"tools", nullptr}}, 0);
  return chat.ok() ? chat->text : "error: " + std::string(chat.status().message());
}

void expect_texts(std::initializer_list<Row> rows) {
  for (const Row& row : rows) EXPECT_EQ(render(row), row.text) << row.source << "\n" << row.messages;
}

constexpr const char* kParts = R"([{"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]}])";
constexpr const char* kString = R"([{"role":"user","content":"a"}])";
constexpr const char* kTool = R"([{"role":"user","content":"a"},{"role":"tool","content":"21"},)"
                              R"({"role":"tool","content":[{"type":"text","text":"2"},{"type":"text","text":"3"}]}])";
constexpr const char* kSystemParts =
    R"([{"role":"system","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]},)"
    R"({"role":"user","content":[{"type":"text","text":"c"}]}])";

TEST(MessageForm, OfContents) {
  expect_texts({
      {kPlain, kString, "<user>a"},
      {kPlain, kParts, "<user>a\nb"},
      {kNeedsParts, kString, "<user>a|"},
      {kNeedsParts, kParts, "<user>a|b|"},
      {kTakesBoth, kString, "a"},
      {kTakesBoth, kParts, "a;b;"},
      {kTakesBoth, kTool, "a<r>21</r><r>2\n3</r>"},
      {kFirstPart, kString, "<user>a"},
      {kFirstPart, kParts, "<user>a\nb"},
      {kTextSystem, kSystemParts, "S:a\nb;c;"},
      {kTextSystem, kString, "a"},
      {kMacro, kParts, "a\nb"},
  });
  EXPECT_EQ(render({kTakesBoth, kParts, ""}, ContentFormat::kText), "a\nb");
  EXPECT_EQ(render({kTakesBoth, kString, ""}, ContentFormat::kParts), "a;");
}

std::string call_chat(const char* content, const char* arguments) {
  return std::string(R"([{"role":"user","content":"u"},{"role":"assistant","content":)") + content +
         R"(,"tool_calls":[{"type":"function","function":{"name":"f","arguments":)" + arguments +
         R"(}}]},{"role":"tool","content":"r"}])";
}

TEST(MessageForm, OfCalls) {
  const std::string text = call_chat(R"("")", R"("{\"k\": [1, \"v\"]}")");
  const std::string object = call_chat(R"("")", R"({"k":[1,"v"]})");
  const std::string empty = call_chat(R"("")", R"("")"), null = call_chat(R"("")", "null");
  const std::string cut = call_chat(R"("")", R"("{\"k\":")");
  expect_texts({
      {kObject, text.c_str(), "<user>u<assistant>f(k=[1, 'v'])<tool>r"},
      {kObject, object.c_str(), "<user>u<assistant>f(k=[1, 'v'])<tool>r"},
      {kObject, empty.c_str(), "<user>u<assistant>f()<tool>r"},
      {kObject, null.c_str(), "<user>u<assistant>f()<tool>r"},
      {kObject, cut.c_str(), "<user>u<assistant>f()<tool>r"},
      {kText, text.c_str(), R"(<user>u<assistant>f({"k": [1, "v"]})<tool>r)"},
      {kText, object.c_str(), R"(<user>u<assistant>f({"k": [1, "v"]})<tool>r)"},
      {kText, empty.c_str(), "<user>u<assistant>f({})<tool>r"},
      {kText, null.c_str(), "<user>u<assistant>f({})<tool>r"},
      {kShowsNone, text.c_str(), R"(<user>u<assistant>f({"k": [1, "v"]})<tool>r)"},
      {kNullObject, text.c_str(), "ufk=[1, 'v']r"},
      {kNullText, text.c_str(), R"(uf {"k": [1, "v"]}r)"},
      {kNullText, object.c_str(), R"(uf {"k": [1, "v"]}r)"},
  });
  const std::string said = call_chat(R"("s")", R"("{}")");
  EXPECT_EQ(render({kNullText, said.c_str(), ""}), "usr") << "a text stays a text";
  const Row alone{kNullText, R"([{"role":"assistant","content":""}])", ""};
  EXPECT_EQ(render(alone), "") << "null is for calls alone";
}

TEST(MessageForm, OfArgumentsThatAreNoObject) {
  const auto row = [](const std::string& source, const char* arguments) {
    const std::string chat = call_chat(R"("")", arguments);
    return render({source, chat.c_str(), ""});
  };
  constexpr const char* kField = "400 messages[1].tool_calls[0].function.arguments";
  for (const char* arguments : {R"("[1]")", R"("5")", R"("\"{}\"")", "[1]", "5", "true"}) {
    EXPECT_EQ(row(kObject, arguments), kField) << arguments;
  }
  EXPECT_EQ(row(kObject, R"("null")"), "<user>u<assistant>f()<tool>r");
  EXPECT_EQ(row(kText, R"("[1]")"), "<user>u<assistant>f([1])<tool>r") << "this template shows any text";
  EXPECT_EQ(row(kObject, R"("{\"k\":\"\\ud83d\"}")"), "<user>u<assistant>f(k=\xEF\xBF\xBD)<tool>r");
  EXPECT_EQ(row(kObject, R"("{\"k\":NaN,\"l\":-Infinity}")"), "<user>u<assistant>f(k=nanl=-inf)<tool>r");
  EXPECT_EQ(row(kMayHaveName, R"("{\"k\":NaN}")"), R"(<user>u<assistant>f{"k": NaN}<tool>=r)");
}

TEST(MessageForm, OfResults) {
  constexpr const char* chat =
      R"([{"role":"assistant","content":"","tool_calls":[{"id":"1","function":{"name":"f","arguments":{}}},)"
      R"({"id":"2","function":{"name":"g","arguments":{}}}]},{"role":"tool","tool_call_id":"2","content":"x"},)"
      R"({"role":"tool","tool_call_id":"1","content":"y"},{"role":"tool","tool_call_id":"1","name":"n","content":"z"}])";
  expect_texts({
      {kNeedsName, chat, "<assistant>f{}g{}<tool>g=x<tool>f=y<tool>n=z"},
      {kMayHaveName, chat, "<assistant>f{}g{}<tool>2=x<tool>1=y<tool>n=z"},
      {kPartsBesideCalls, chat, "<assistant>f{}g{}<tool>x;<tool>y;<tool>z;"},
      {kPartsBesideCalls, kString, "<user>a"},
  });
}

TEST(MessageForm, OfSystems) {
  constexpr const char* two =
      R"([{"role":"system","content":"a"},{"role":"system","content":"b"},{"role":"user","content":"u"}])";
  constexpr const char* between =
      R"([{"role":"user","content":"u"},{"role":"system","content":"a"},{"role":"user","content":"v"}])";
  constexpr const char* developer = R"([{"role":"developer","content":"d"},{"role":"user","content":"u"}])";
  constexpr const char* both =
      R"([{"role":"system","content":""},{"role":"system","content":"a"},{"role":"developer","content":"d"},)"
      R"({"role":"user","content":"u"}])";
  expect_texts({
      {kPlain, two, "<system>a<system>b<user>u"},
      {kPlain, between, "<user>u<system>a<user>v"},
      {kPlain, developer, "<system>d<user>u"},
      {kOneSystem, two, "<system>a\n\nb<user>u"},
      {kOneSystem, between, "<system>a<user>u<user>v"},
      {kOneSystem, both, "<system>a\n\nd<user>u"},
      {kLastSystem, two, "a\n\nb<user>u"},
      {kLastSystem, developer, "d<user>u"},
      {kDeveloper, developer, "D:d;u;"},
      {kDeveloper, both, ";a;D:d;u;"},
      {kHidesDeveloper, developer, "<system>d<user>u"},
      {kHidesDeveloper, both, "<system><system>a<system>d<user>u"},
  });
}

TEST(MessageForm, OfATemplateThatShowsNothing) {
  const MessageForm form =
      probe_template(*text::ChatTemplate::parse("{{ raise_exception('no') }}", {}), "", {}, ContentFormat::kAuto);
  EXPECT_EQ(form.user, ContentForm::kText);
  EXPECT_FALSE(form.arguments_as_text);
  EXPECT_FALSE(form.null_beside_calls);
}

}  // namespace
}  // namespace polymath::api
