#include "text/chat_template.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>

namespace polymath::text {
namespace {

// CPU time of a template that is refused for its cost; sanitizers are slow.
#ifdef POLYMATH_SANITIZED
constexpr double kSecondsMost = 300;
#else
constexpr double kSecondsMost = 2;
#endif

constexpr int64_t kNow = 1771061400;  // 2026-02-14 09:30:00
const std::string kData = std::string(POLYMATH_SOURCE_DIR) + "/tests/conformance/data/chat_templates/";

std::string read(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::stringstream text;
  text << in.rdbuf();
  return text.str();
}

base::JsonValue json(std::string_view text) { return base::parse_json(text, {}).value(); }

std::string get(const base::JsonValue& object, const char* key) {
  const auto& s = object.get_object().at(key).get_string();
  return {s.data(), s.size()};
}

absl::StatusOr<std::string> render(std::string_view source, const base::JsonValue& variables = base::JsonObject{}) {
  const auto parsed = ChatTemplate::parse(source, {});
  if (!parsed.ok()) return parsed.status();
  auto rendered = parsed->render(variables, kNow);
  if (!rendered.ok()) return rendered.status();
  return std::move(rendered->text);
}

// The text, or "error: " and its message.
std::string outcome(std::string_view source, const base::JsonValue& variables = base::JsonObject{}) {
  const auto result = render(source, variables);
  if (result.ok()) return *result;
  EXPECT_EQ(result.status().code(), absl::StatusCode::kInvalidArgument);
  return "error: " + std::string(result.status().message());
}

TEST(ChatTemplate, RendersTheReferenceCases) {
  const base::JsonValue cases = base::read_json_file(kData + "cases.json", {}).value();
  ASSERT_GT(cases.get_array().size(), 100u);
  for (const auto& entry : cases.get_array()) {
    SCOPED_TRACE(get(entry, "template") + " " + get(entry, "case"));
    const bool fails = entry.get_object().contains("error");
    const std::string expected = fails ? "error: " + get(entry, "error") : get(entry, "rendered");
    EXPECT_EQ(outcome(read(kData + get(entry, "template")), entry.get_object().at("variables")), expected);
  }
}

// Made by tools/make_template_cases.py with Jinja2 itself.
TEST(ChatTemplate, RendersTheSnippets) {
  const base::JsonValue file = base::read_json_file(kData + "snippets.json", {}).value();
  const base::JsonValue& variables = file.get_object().at("variables");
  ASSERT_GT(file.get_object().at("snippets").get_array().size(), 200u);
  for (const auto& entry : file.get_object().at("snippets").get_array()) {
    const std::string source = get(entry, "template");
    SCOPED_TRACE(source);
    if (entry.get_object().contains("rendered")) {
      EXPECT_EQ(outcome(source, variables), get(entry, "rendered"));
    } else if (entry.get_object().contains("raised")) {
      EXPECT_EQ(outcome(source, variables), "error: " + get(entry, "raised"));
    } else {
      const std::string error = outcome(source, variables);
      EXPECT_THAT(error, testing::HasSubstr(get(entry, "error")));
      EXPECT_THAT(error, testing::StartsWith("error: chat template, line "));
    }
  }
}

// Long templates in the manner of published ones, by the same tool.
TEST(ChatTemplate, RendersTheStyles) {
  const base::JsonValue file = base::read_json_file(kData + "styles.json", {}).value();
  const auto& root = file.get_object();
  ASSERT_GT(root.at("cases").get_array().size(), 200u);
  for (const auto& entry : root.at("cases").get_array()) {
    SCOPED_TRACE(get(entry, "template") + " " + get(entry, "conversation") + " " + get(entry, "options"));
    base::JsonObject variables = root.at("options").get_object().at(get(entry, "options")).get_object();
    variables["messages"] = root.at("conversations").get_object().at(get(entry, "conversation"));
    variables["bos_token"] = "<s>";
    variables["eos_token"] = "</s>";
    const std::string actual = outcome(read(kData + "styles/" + get(entry, "template")), variables);
    if (entry.get_object().contains("rendered")) {
      EXPECT_EQ(actual, get(entry, "rendered"));
    } else if (entry.get_object().contains("raised")) {
      EXPECT_EQ(actual, "error: " + get(entry, "raised"));
    } else {
      EXPECT_THAT(actual, testing::StartsWith("error: chat template, line "));
      EXPECT_THAT(actual, testing::HasSubstr(get(entry, "fails")));
    }
  }
}

TEST(ChatTemplate, RefusesWhatIsNoTemplate) {
  const std::pair<std::string, std::string> kBad[] = {
      {"{{ x", "line 1: '{{' has no end"},
      {"a\n{% if x %}", "line 2: the template ends where 'endif' is expected"},
      {"{% if %}{% endif %}", "expected an expression"},
      {"{% endif %}", "there is no tag 'endif'"},
      {"{% for x in y %}{% endif %}{% endfor %}", "there is no tag 'endif'"},
      {"{% else %}", "there is no tag 'else'"},
      {"{# open", "a comment has no end"},
      {"{% raw %}x", "raw has no endraw"},
      {"{{ 'x }}", "a string has no end"},
      {"{{ 1 + }}", "expected an expression"},
      {"{{ (1 }}", "unexpected '}'"},
      {"{{ ) }}", "unexpected ')'"},
      {"{{ a b }}", "expected '}}', got 'b'"},
      {"{{ a ? b }}", "unexpected character '?'"},
      {"{{ }}", "expected an expression"},
      {"{% include 'x' %}", "'include' is not supported"},
      {"{% import 'x' as y %}", "'import' is not supported"},
      {"{% extends 'x' %}", "'extends' is not supported"},
      {"{% block x %}{% endblock %}", "'block' is not supported"},
      {"{% for x in y recursive %}{% endfor %}", "recursive loops are not supported"},
      {"{% break %}", "'break' outside of a loop"},
      {"{% for x in y %}{% macro m() %}{% break %}{% endmacro %}{% endfor %}", "'break' outside of a loop"},
      {"{% set true = 1 %}", "cannot assign to 'true'"},
      {"{% set x %}", "the template ends where 'endset' is expected"},
      {"{% macro m(a=1, b) %}{% endmacro %}", "without a default follows"},
      {"{{ f(a=1, 2) }}", "positional argument follows"},
      {"{{ 99999999999999999999 }}", "no integer of 64 bits"},
      {"{{ '\\ud800' }}", "names no character"},
      {"{{ x is string is string }}", "a test cannot follow a test"},
      {"{% call 5 %}{% endcall %}", "a call block needs a call"},
  };
  for (const auto& [source, words] : kBad) {
    SCOPED_TRACE(source);
    const auto parsed = ChatTemplate::parse(source, {});
    ASSERT_FALSE(parsed.ok());
    EXPECT_EQ(parsed.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(parsed.status().message()), testing::HasSubstr(words));
  }
}

std::string repeated(const std::string& text, int count) {
  std::string all;
  for (int i = 0; i < count; ++i) all += text;
  return all;
}

// Each of these would run for ever, or use more memory than there is, if nothing stopped it.
TEST(ChatTemplate, IsBoundedInTimeAndMemory) {
  const std::string kDouble = "{% set ns = namespace(x='0123456789') %}{% for i in range(60) %}";
  const std::string kGreedy[] = {
      "{% for i in range(10**9) %}{% endfor %}",
      "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
      "{% for i in range(99999) %}{% for j in range(99999) %}{{ 'x' * 1000 }}{% endfor %}{% endfor %}",
      "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
      "{% macro m() %}{{ m() }}{{ m() }}{% endmacro %}{{ m() }}",
      "{% macro a(n) %}{{ b(n) }}{% endmacro %}{% macro b(n) %}{{ a(n) }}{% endmacro %}{{ a(1) }}",
      "{{ 'x' * 10**9 }}",
      "{{ 'x' * 9223372036854775807 }}",
      "{{ 'xy' * 9223372036854775807 }}",
      "{{ [1] * 10**9 }}",
      "{{ [1, 2] * 9223372036854775807 }}",
      "{{ '%9999999d' % 1 }}",
      "{{ '{:99999999}'.format(1) }}",
      "{{ 'x'.center(10**12) }}",
      "{{ 'x' | indent(10**12) }}",
      "{{ [1] | tojson(indent=10**12) }}",
      "{{ [1] | batch(10**15, 1) }}",
      "{{ [1] | slice(10**15) }}",
      "{{ 2 ** 64 }}",
      "{{ 2 ** 999999999999 }}",
      kDouble + "{% set ns.x = ns.x + ns.x %}{% endfor %}{{ ns.x }}",
      kDouble + "{% set ns.x = ns.x.replace('', ns.x) %}{% endfor %}",
      kDouble + "{% set ns.x = ns.x | join(ns.x) %}{% endfor %}",
      kDouble + "{% set ns.x = ns.x ~ [ns.x, ns.x] %}{% endfor %}",
      kDouble + "{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{ ns.x }}",
      kDouble + "{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{ ns.x == ns.x }}",
      kDouble + "{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{ ns.x | tojson }}",
      "{% set ns = namespace(x=1) %}{% for i in range(9999) %}{% set ns.x = [ns.x] %}{% endfor %}{{ ns.x }}",
      "{% set ns = namespace(x=1) %}{% for i in range(9999) %}{% set ns.x = [ns.x] %}{% endfor %}{{ ns.x | tojson }}",
      "{% set ns = namespace() %}{% set ns.me = ns %}{{ ns }}",
      "{% set ns = namespace() %}{% set ns.me = [ns] %}{{ ns.me }}",
      "{% set ns = namespace(d={}) %}{% for i in range(99999) %}{% set ns.d = dict(ns.d, **{i ~ '': i}) %}{% endfor %}",
      "{% for i in range(99999) %}{% for j in range(99999) %}{{ range(99999) | list | length }}{% endfor %}{% endfor "
      "%}",
      "{% set a = 'a' * 1000000 %}{% set b = 'a' * 500000 ~ 'b' %}{% for i in range(9999) %}{{ b in a }}{% endfor %}",
      "{% set a = 'a' * 1000000 %}{% set b = 'b' ~ 'a' * 500000 %}{% for i in range(99) %}{{ a.rfind(b) }}{% endfor %}",
      "{% set a = 'a' * 1000000 %}{% for i in range(99999) %}{{ a[i] }}{{ a | length }}{{ a == a ~ '' }}{% endfor %}",
      "{% set a = 'a' * 1000000 %}{% for i in range(99999) %}{{ a | upper }}{% endfor %}",
      "{% set a = ' ' * 1000000 %}{% for i in range(99999) %}{{ a.strip() }}{% endfor %}",
      "{% set l = range(99999) | list %}{% for i in l %}{{ -1 in l }}{% endfor %}",
      "{% set l = range(99999) | list %}{% for i in l %}{{ l | sort | first }}{% endfor %}",
      "{% set l = range(99999) | list %}{{ l | unique | list | length }}",
      "{% set l = range(99999) | list %}{% for i in l %}{{ l | tojson | length }}{% endfor %}",
      "{% set l = range(99999) | list %}{% for i in l %}{{ l + l }}{{ l[1:] }}{{ l | list }}{% endfor %}",
      "{{ " + repeated("(", 5000) + "1" + repeated(")", 5000) + " }}",
      "{{ " + repeated("[", 5000) + repeated("]", 5000) + " }}",
      "{{ " + repeated("not ", 5000) + "1 }}",
      "{{ " + repeated("-", 5000) + "1 }}",
      "{{ " + repeated("1 if 1 else ", 5000) + "1 }}",
      "{{ " + repeated("a[", 5000) + "1" + repeated("]", 5000) + " }}",
      repeated("{% if 1 %}", 5000) + repeated("{% endif %}", 5000),
      repeated("{% for a in b %}", 5000),
      "{% set " + repeated("(", 5000) + "a" + repeated(")", 5000) + " = 1 %}",
  };
  for (const std::string& source : kGreedy) {
    SCOPED_TRACE(source.substr(0, 200));
    const std::clock_t begin = std::clock();
    const auto result = render(source);
    EXPECT_EQ(result.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_LT(static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC, kSecondsMost);
  }
}

TEST(ChatTemplate, TakesLongChainsAndLongPrompts) {
  EXPECT_EQ(outcome("{{ " + repeated("'a' ~ ", 20000) + "'b' }}").size(), 20001u);
  EXPECT_EQ(outcome("{{ " + repeated("1 + ", 20000) + "1 }}"), "20001");
  EXPECT_EQ(outcome("{{ 'a'" + repeated(" | upper", 5000) + " }}"), "A");
  EXPECT_EQ(outcome("{% if 0 %}" + repeated("{% elif 0 %}", 5000) + "{% else %}x{% endif %}"), "x");
  base::JsonArray messages;
  for (int i = 0; i < 2000; ++i) {
    messages.push_back({{"role", i % 2 == 0 ? "user" : "assistant"}, {"content", std::string(2000, 'x')}});
  }
  const base::JsonObject variables = {{"messages", std::move(messages)}, {"bos_token", "<s>"}, {"eos_token", "</s>"}};
  EXPECT_GT(outcome(read(kData + "turns_tools.jinja"), variables).size(), 4'000'000u);
  // What grows in a namespace is not copied in every round.
  const std::string gather =
      "{% set ns = namespace(t='') %}{% for m in messages %}{% set ns.t = ns.t + m.role ~ m.content | trim %}"
      "{% endfor %}{{ ns.t | length }}";
  EXPECT_EQ(outcome(gather, variables), "4013000");
}

TEST(ChatTemplate, HoldsItsOwnLimits) {
  const auto with = [](ChatTemplateLimits limits, std::string_view source) -> std::string {
    const auto parsed = ChatTemplate::parse(source, limits);
    if (!parsed.ok()) return std::string(parsed.status().message());
    const auto result = parsed->render(base::JsonObject{}, kNow);
    return result.ok() ? result->text : std::string(result.status().message());
  };
  EXPECT_THAT(with({.source_bytes_max = 4}, "12345"), testing::HasSubstr("at most 4"));
  EXPECT_EQ(with({.source_bytes_max = 5}, "12345"), "12345");
  EXPECT_THAT(with({.steps_max = 10}, "{{ 1 }}{{ 1 }}{{ 1 }}{{ 1 }}{{ 1 }}{{ 1 }}"),
              testing::HasSubstr("too many steps"));
  EXPECT_THAT(with({.output_bytes_max = 4}, "12345"), testing::HasSubstr("longer than 4 bytes"));
  EXPECT_EQ(with({.output_bytes_max = 5}, "12345"), "12345");
  EXPECT_THAT(with({.memory_bytes_max = 1u << 20}, "{{ 'x' * 2000000 }}"), testing::HasSubstr("too much memory"));
  EXPECT_THAT(with({.depth_max = 5}, "{{ [[[[[[1]]]]]] }}"), testing::HasSubstr("too deeply"));
}

TEST(ChatTemplate, LimitsGrowWithTheVariables) {
  const base::JsonObject messages = {{"messages", base::JsonArray(300, base::JsonObject{{"role", "user"}})}};
  const base::JsonObject text = {{"text", std::string(100'000, 'x')}};
  const std::string pairs = "{% for m in messages %}{% for n in messages %}{{ m.role[0] }}{% endfor %}{% endfor %}";
  const std::string letters = "{% for c in text %}{{ c ~ '' }}{% endfor %}";
  const auto length = [](ChatTemplateLimits limits, const std::string& source, const base::JsonObject& variables) {
    const auto parsed = ChatTemplate::parse(source, limits);
    const auto rendered = parsed->render(variables, kNow);
    return rendered.ok() ? std::to_string(rendered->text.size()) : std::string(rendered.status().message());
  };
  EXPECT_EQ(length({.steps_max = 1000}, pairs, messages), "90000");
  EXPECT_THAT(length({.steps_max = 1000, .steps_per_pair = 1}, pairs, messages), testing::HasSubstr("too many steps"));
  EXPECT_EQ(length({.steps_max = 1000}, letters, text), "100000");
  EXPECT_THAT(length({.steps_max = 1000, .steps_per_byte = 1}, letters, text), testing::HasSubstr("too many steps"));
  const std::string copies = "{% for m in messages %}{% set l = messages[1:] %}{% endfor %}";
  EXPECT_EQ(length({.memory_bytes_max = 1 << 20}, copies, messages), "0");
  EXPECT_THAT(length({.memory_bytes_max = 1 << 20, .memory_per_pair = 0}, copies, messages),
              testing::HasSubstr("too much memory"));
}

// Scopes are used again, unless a macro still sees them.
TEST(ChatTemplate, KeepsTheScopesThatMacrosSee) {
  EXPECT_EQ(outcome("{% set ns = namespace(f=none) %}{% for i in [1, 2] %}{% macro m() %}{{ i }}{% endmacro %}"
                    "{% if loop.first %}{% set ns.f = m %}{% endif %}{% endfor %}"
                    "{% for j in [7, 8] %}{% set i = j %}{% set k = j %}{% endfor %}{{ ns.f() }}"),
            "1");
  EXPECT_EQ(outcome("{% macro m(a) %}{% for x in a %}{% if x is iterable %}[{{ m(x) }}]{% else %}{{ x }}{% endif %}"
                    "{% endfor %}{% endmacro %}{{ m([1, [2, [3], 4], 5]) }}"),
            "1[2[3]4]5");
  EXPECT_EQ(outcome("{% for a in [1, 2] %}{% for b in [] %}{% else %}{{ loop.index }}{% endfor %}{% endfor %}"), "12");
}

TEST(ChatTemplate, NamesTheLineOfAnError) {
  EXPECT_EQ(outcome("a\n{{ 1 }}\n{{ x.y }}"), "error: chat template, line 3: 'x' is undefined");
  EXPECT_EQ(outcome("{% macro m() %}\n{{ 1 + none }}{% endmacro %}\n\n{{ m() }}"),
            "error: chat template, line 2: unsupported operand type(s) for +: 'int' and 'NoneType'");
  EXPECT_EQ(outcome("\n\n{{ raise_exception('just this') }}"), "error: just this");
}

// A name that is not known is an error where it is reached, as in Jinja2 within a branch.
TEST(ChatTemplate, NamesAnUnknownFilterWhenItIsReached) {
  EXPECT_EQ(outcome("{% if false %}{{ 1 | nosuch }}{{ 1 is nosuch }}{% endif %}ok"), "ok");
  EXPECT_EQ(outcome("\n{{ 1 | nosuch }}"), "error: chat template, line 2: there is no filter 'nosuch'");
  EXPECT_EQ(outcome("{{ 1 is nosuch }}"), "error: chat template, line 1: there is no test 'nosuch'");
}

TEST(ChatTemplate, KnowsWhetherItWalksAContent) {
  const std::pair<const char*, bool> kSources[] = {
      {"{% for m in messages %}{{ m['content'] }}{% endfor %}", false},
      {"{% for m in messages %}{%- for c in m['content'] -%}{{ c.text }}{% endfor %}{% endfor %}", true},
      {"{% for m in messages[1:] %}{% for c in m.content | selectattr('type') %}{% endfor %}{% endfor %}", true},
      {"{% set l = messages | list %}{% set k = l[1:] %}{% for m in k %}{% if 1 %}{% else %}"
       "{% for c in m.content %}{% endfor %}{% endif %}{% endfor %}",
       true},
      {"{% macro show(content) %}{% for c in content %}{% endfor %}{% endmacro %}"
       "{% for m in messages %}{{ show(m.content) }}{% endfor %}",
       false},
      {"{% for m in tools %}{% for c in m.content %}{% endfor %}{% endfor %}", false},
      {"{% for m in messages %}{% for c in m.tool_calls %}{% endfor %}{% endfor %}", false},
      {"{% for m in messages %}{% if 'x' in m.content %}{% endif %}{% endfor %}", false},
      {"", false},
  };
  for (const auto& [source, walks] : kSources) {
    EXPECT_EQ(ChatTemplate::parse(source, {})->loops_over_content(), walks) << source;
  }
}

// The text, with what generation blocks wrote in brackets.
std::string marked(std::string_view source, const base::JsonValue& variables = base::JsonObject{}) {
  const auto parsed = ChatTemplate::parse(source, {});
  const auto chat = parsed->render(variables, kNow);
  if (!chat.ok()) return std::string(chat.status().message());
  std::string out = chat->text;
  for (auto range = chat->generated.rbegin(); range != chat->generated.rend(); ++range) {
    out.insert(range->end, "]");
    out.insert(range->begin, "[");
  }
  return out;
}

TEST(ChatTemplate, MarksWhatGenerationBlocksWrite) {
  const char* const kRows[][2] = {
      {"no block", "no block"},
      {"a{% generation %}b{{ 1 + 1 }}{% endgeneration %}c", "a[b2]c"},
      {"{% generation %}{% endgeneration %}c", "c"},
      {"{% generation %}a{% endgeneration %}{% generation %}b{% endgeneration %}", "[ab]"},
      {"{% for x in [1, 2] %}u{% generation %}{{ x }}{% endgeneration %}{% endfor %}", "u[1]u[2]"},
      {"{% if true %}{% generation %}a{% endgeneration %}{% endif %}b", "[a]b"},
      {"a{% generation %}b{% generation %}c{% endgeneration %}d{% endgeneration %}e", "a[bcd]e"},
      {"a {%- generation %} b {% endgeneration -%} c", "a[ b ]c"},
      {"\xC3\xA9{% generation %}\xE6\x97\xA5{% endgeneration %}!", "\xC3\xA9[\xE6\x97\xA5]!"},
      {"x{% macro m() %}a{% generation %}b{% endgeneration %}{% endmacro %}y{{ m() }}z", "xya[b]z"},
      {"{% set t %}{% generation %}ab{% endgeneration %}{% endset %}", ""},      // never written
      {"{% set t %}{% generation %}ab{% endgeneration %}{% endset %}c", "[c]"},  // as transformers has it
  };
  for (const auto& [source, text] : kRows) EXPECT_EQ(marked(source), text) << source;
}

TEST(ChatTemplate, RendersOneTemplateOnManyThreads) {
  const auto parsed = ChatTemplate::parse(read(kData + "turns_tools.jinja"), {}).value();
  const base::JsonValue variables = json(R"({"messages": [{"role": "user", "content": "hi"}]})");
  const std::string expected = parsed.render(variables, kNow)->text;
  std::vector<std::thread> threads;
  std::atomic<int> equal = 0;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (int k = 0; k < 100; ++k) equal += parsed.render(variables, kNow)->text == expected;
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(equal, 400);
}

class ModelDirectory : public testing::Test {
 protected:
  void SetUp() override {
    directory_ = testing::TempDir() + "/chat_template_" + testing::UnitTest::GetInstance()->current_test_info()->name();
    std::filesystem::remove_all(directory_);
    std::filesystem::create_directories(directory_);
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }
  void write(const std::string& name, const std::string& text) { std::ofstream(directory_ + "/" + name) << text; }
  // "name=source" of each, or the failure's code.
  std::string find() {
    const auto found = find_chat_templates(directory_);
    if (!found.ok()) return absl::StatusCodeToString(found.status().code());
    std::string all;
    for (const NamedTemplate& named : *found) all += named.name + "=" + named.source + " ";
    return all;
  }
  std::string directory_;
};

TEST_F(ModelDirectory, IsSearchedInOrder) {
  EXPECT_EQ(find(), "NOT_FOUND");
  write("tokenizer_config.json", R"({"bos_token": "x"})");
  EXPECT_EQ(find(), "NOT_FOUND");
  write("chat_template.json", R"({"chat_template": "third"})");
  EXPECT_EQ(find(), "default=third ");
  write("tokenizer_config.json", R"({"chat_template": "second"})");
  EXPECT_EQ(find(), "default=second ");
  write("chat_template.jinja", "first");
  EXPECT_EQ(find(), "default=first ");
}

TEST_F(ModelDirectory, ListsItsTemplatesByName) {
  write("tokenizer_config.json",
        R"({"chat_template": [{"name": "tool_use", "template": "t"}, {"name": "default", "template": "d"}]})");
  EXPECT_EQ(find(), "default=d tool_use=t ");
  std::filesystem::create_directories(directory_ + "/additional_chat_templates");
  write("additional_chat_templates/rag.jinja", "r");
  write("additional_chat_templates/tool_use.jinja", "own");
  write("additional_chat_templates/README.md", "no template");
  EXPECT_EQ(find(), "rag=r tool_use=own ") << "files replace the config's whole list, as in transformers";
  write("chat_template.jinja", "f");
  EXPECT_EQ(find(), "default=f rag=r tool_use=own ");
  for (int i = 0; i < 40; ++i) write("additional_chat_templates/" + std::to_string(i) + ".jinja", "x");
  EXPECT_EQ(find(), "INVALID_ARGUMENT");
  std::filesystem::remove_all(directory_ + "/additional_chat_templates");
  std::filesystem::remove(directory_ + "/chat_template.jinja");
  for (const char* bad : {R"({"chat_template": [{"name": 1}]})", R"({"chat_template": 5})", "{", "[]"}) {
    write("tokenizer_config.json", bad);
    EXPECT_EQ(find(), "INVALID_ARGUMENT") << bad;
  }
}

}  // namespace
}  // namespace polymath::text
