// Every case of tests/conformance/data/tool_calls: whole, cut in two at every byte, and byte by byte.

#include "text/output/output_parser.h"

#include <gtest/gtest.h>

#include <fstream>
#include <string>
#include <vector>

#include "base/json.h"

namespace polymath::text {
namespace {

using base::JsonArray;
using base::JsonObject;
using base::JsonValue;

struct Parsed {
  std::string content, reasoning, calls;  // calls: JSON, with each call's arguments as text
  std::vector<std::string> arguments;

  bool operator==(const Parsed&) const = default;
};

Parsed joined(const OutputEvents& events) {
  Parsed out;
  int open = 0;
  for (const OutputEvent& event : events) {
    switch (event.kind) {
      case OutputKind::kContent:
        out.content += event.text;
        break;
      case OutputKind::kReasoning:
        out.reasoning += event.text;
        break;
      case OutputKind::kCallBegin:
        out.calls += event.text + "(" + event.id + ");";
        out.arguments.emplace_back();
        ++open;
        break;
      case OutputKind::kArguments:
        out.arguments.back() += event.text;
        break;
      case OutputKind::kCallEnd:
        --open;
        break;
    }
  }
  EXPECT_EQ(open, 0);
  return out;
}

Parsed parse(const OutputFormat& format, const OutputOptions& options, const std::vector<std::string_view>& pieces) {
  const auto parser = make_output_parser(format, options);
  OutputEvents events;
  for (const std::string_view piece : pieces) parser->push(piece, events);
  parser->finish(events);
  return joined(events);
}

// The same, however the text is cut.
Parsed parse_every_way(const OutputFormat& format, const OutputOptions& options, const std::string& text) {
  Parsed whole = parse(format, options, {text});
  const std::string_view view = text;
  for (size_t cut = 0; cut <= view.size(); ++cut) {
    EXPECT_EQ(parse(format, options, {view.substr(0, cut), view.substr(cut)}), whole) << "cut at " << cut;
    if (testing::Test::HasFailure()) break;
  }
  std::vector<std::string_view> bytes;
  for (size_t i = 0; i < view.size(); ++i) bytes.push_back(view.substr(i, 1));
  EXPECT_EQ(parse(format, options, bytes), whole) << "byte by byte";
  return whole;
}

std::string text_of(const JsonObject& object, const char* key) {
  const auto* found = object.if_contains(key);
  return found == nullptr ? "" : std::string(found->get_string());
}

std::shared_ptr<const ToolTypes> types_of(const JsonObject& one) {
  auto types = std::make_shared<ToolTypes>();
  const auto* found = one.if_contains("types");
  if (found == nullptr) return types;
  for (const auto& member : found->get_object()) {
    const std::string key(member.key());
    const size_t dot = key.rfind('.');
    types->add(key.substr(0, dot), key.substr(dot + 1),
               member.value() == "string" ? ParameterType::kString : ParameterType::kOther);
  }
  return types;
}

void check_calls(const Parsed& got, const JsonArray& expected) {
  ASSERT_EQ(got.arguments.size(), expected.size()) << got.calls << " content: " << got.content;
  std::string names;
  for (size_t i = 0; i < expected.size(); ++i) {
    const JsonObject& call = expected[i].get_object();
    const auto arguments = base::parse_json(got.arguments[i], {});
    ASSERT_TRUE(arguments.ok()) << got.arguments[i];
    EXPECT_EQ(*arguments, call.at("arguments"));
  }
}

std::string names_of(const JsonArray& calls) {
  std::string out;
  for (const JsonValue& call : calls) out += text_of(call.get_object(), "name") + ";";
  return out;
}

// Without the ids.
std::string names_of(const std::string& calls) {
  std::string out;
  bool in_id = false;
  for (const char byte : calls) {
    if (byte == '(') in_id = true;
    if (!in_id) out.push_back(byte);
    if (byte == ')') in_id = false;
  }
  return out;
}

class ToolCallCases : public testing::TestWithParam<std::string> {};

TEST_P(ToolCallCases, AreReadTheSameInEveryWay) {
  const CallFormat* format = find_call_format(GetParam());
  ASSERT_NE(format, nullptr);
  std::ifstream in(std::string(POLYMATH_SOURCE_DIR) + "/tests/conformance/data/tool_calls/" + GetParam() + ".jsonl");
  int n_cases = 0;
  for (std::string line; std::getline(in, line); ++n_cases) {
    const auto json = base::parse_json(line, {});
    ASSERT_TRUE(json.ok());
    const JsonObject& one = json->get_object();
    SCOPED_TRACE(GetParam() + ": " + text_of(one, "case"));
    const Parsed got = parse_every_way({.calls = format}, {.types = types_of(one)}, text_of(one, "text"));
    EXPECT_EQ(got.content, text_of(one, "content"));
    EXPECT_EQ(got.reasoning, text_of(one, "reasoning"));
    EXPECT_EQ(names_of(got.calls), names_of(one.at("calls").get_array()));
    check_calls(got, one.at("calls").get_array());
  }
  EXPECT_GE(n_cases, 30);
}

std::vector<std::string> format_names() {
  std::vector<std::string> names;
  for (const CallFormat& format : call_formats()) names.emplace_back(format.name);
  return names;
}

INSTANTIATE_TEST_SUITE_P(Formats, ToolCallCases, testing::ValuesIn(format_names()), [](const auto& info) {
  std::string name = info.param;
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
});

struct ReasoningCase {
  const char* format;
  bool inside;
  const char* text;
  const char* reasoning;
  const char* content;
  const char* calls = "";
};

TEST(OutputParser, SplitsReasoningFromContent) {
  constexpr const char* kCall = "<tool_call>{\"name\": \"f\", \"arguments\": {}}</tool_call>";
  const std::string inside = std::string("Look. ") + kCall + " More.</think>Done.";
  const std::string behind = std::string("<think>A</think>\n\n") + kCall;
  const ReasoningCase cases[] = {
      {"qwen3", true, "I think.\n</think>\n\nHello.", "I think.", "Hello."},
      {"qwen3", false, "<think>\nI think.\n</think>\n\nHello.", "I think.", "Hello."},
      {"qwen3", false, "Hello. <think> is a tag.", "", "Hello. <think> is a tag."},
      {"qwen3", false, "  Hello.\n", "", "  Hello.\n"},
      {"qwen3", true, "It never ends", "It never ends", ""},
      {"qwen3", true, "</think>Hello.", "", "Hello."},
      {"qwen3", true, "<think>Twice</think>Hello.", "<think>Twice", "Hello."},
      {"qwen3", true, inside.c_str(), "Look. More.", "Done.", "f();"},
      {"qwen3", false, behind.c_str(), "A", "", "f();"},
      {"qwen3", true, "1 < 2 </thin", "1 < 2 </thin", ""},
      {"mistral", false, "[THINK]Hm.[/THINK]Yes.", "Hm.", "Yes."},
      {"seed_oss", false, "<seed:think>Hm.</seed:think>Yes.", "Hm.", "Yes."},
      {"granite", false, "Here is my thought process: Hm.\nHere is my response: Yes.", "Hm.", "Yes."},
      {"hunyuan_a13b", false, "<think>\nHm.\n</think>\n<answer>\nYes.\n</answer>", "Hm.", "Yes."},
      {"ernie45", true, "Hm.\n</think>\n\n\n<response>\nYes.\n</response>\n", "Hm.", "Yes."},
      {"cohere_command3", false, "<|START_THINKING|>Hm.<|END_THINKING|><|START_RESPONSE|>Yes.<|END_RESPONSE|>", "Hm.",
       "Yes."},
      {"deepseek_r1", true, "Hm.</think>Yes.", "Hm.", "Yes."},
      {"openai_gptoss", false,
       "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>final<|message|>Yes.", "Hm.", "Yes."},
  };
  for (const ReasoningCase& one : cases) {
    SCOPED_TRACE(std::string(one.format) + ": " + one.text);
    const OutputFormat format{
        .calls = find_call_format(one.format == std::string("openai_gptoss") ? "openai" : "hermes"),
        .reasoning = find_reasoning_format(one.format)};
    ASSERT_NE(format.reasoning, nullptr);
    const Parsed got = parse_every_way(format, {.in_reasoning = one.inside}, one.text);
    EXPECT_EQ(got.reasoning, one.reasoning);
    EXPECT_EQ(got.content, one.content);
    EXPECT_EQ(got.calls, one.calls);
  }
}

TEST(OutputParser, BeginsInReasoningWhereThePromptEndsSo) {
  const ReasoningFormat& qwen = *find_reasoning_format("qwen3");
  EXPECT_TRUE(begins_in_reasoning(qwen, "<|im_start|>assistant\n<think>\n"));
  EXPECT_FALSE(begins_in_reasoning(qwen, "<|im_start|>assistant\n"));
  EXPECT_FALSE(begins_in_reasoning(qwen, "<|im_start|>assistant\n<think>\n\n</think>\n\n"));
  const ReasoningFormat& r1 = *find_reasoning_format("deepseek_r1");
  EXPECT_TRUE(begins_in_reasoning(r1, "<｜Assistant｜>"));
  EXPECT_FALSE(begins_in_reasoning(r1, "<｜Assistant｜></think>"));
}

TEST(OutputParser, KnowsWhereReasoningsTextIs) {
  const struct {
    const char *reasoning, *calls, *text;
    bool in_reasoning, in_text;
  } rows[] = {
      {"qwen3", "hermes", "", false, false},
      {"qwen3", "hermes", "<think>", true, true},
      {"qwen3", "hermes", "<think>Hm. </thi", true, true},
      {"qwen3", "hermes", "<think><tool_call>", true, false},
      {"qwen3", "hermes", "<think>Hm.</think>", false, false},
      {"openai_gptoss", "openai", "", true, false},
      {"openai_gptoss", "openai", "<|channel|>analysis", true, false},
      {"openai_gptoss", "openai", "<|channel|>analysis<|message|>", true, true},
      {"openai_gptoss", "openai", "<|channel|>analysis<|message|>Hm.<|end|>", true, false},
      {"openai_gptoss", "openai", "<|channel|>final<|message|>", false, false},
  };
  for (const auto& row : rows) {
    const auto parser = make_output_parser(
        {.calls = find_call_format(row.calls), .reasoning = find_reasoning_format(row.reasoning)}, {});
    OutputEvents events;
    parser->push(row.text, events);
    EXPECT_EQ(parser->in_reasoning(), row.in_reasoning) << row.text;
    EXPECT_EQ(parser->in_reasoning_text(), row.in_text) << row.text;
  }
}

TEST(OutputParser, ShowsLongArgumentsAsTheyCome) {
  const auto parser = make_output_parser({.calls = find_call_format("hermes")}, {});
  OutputEvents events;
  parser->push("<tool_call>{\"name\": \"f\", \"arguments\": {\"a\": \"", events);
  EXPECT_TRUE(events.empty());
  for (int i = 0; i < 40; ++i) parser->push("0123456789", events);
  ASSERT_EQ(events.size(), 2U);
  EXPECT_EQ(events[0].kind, OutputKind::kCallBegin);
  EXPECT_EQ(events[1].text.size(), std::string("{\"a\": \"").size() + 400);
  // What breaks off after it was shown stays a call; the rest is text.
  parser->push("\" oops", events);
  parser->finish(events);
  const Parsed got = joined(events);
  EXPECT_EQ(got.calls, "f();");
  EXPECT_EQ(got.content, "oops");
}

TEST(OutputParser, TakesLinearTimeOfAnyText) {
  for (const CallFormat& format : call_formats()) {
    for (const std::string_view mark : marks_of({.calls = &format})) {
      std::string text;
      while (text.size() < 300'000) text += mark;
      OutputEvents events;
      const auto parser = make_output_parser({.calls = &format}, {});
      for (size_t at = 0; at < text.size(); at += 100) parser->push(std::string_view(text).substr(at, 100), events);
      parser->finish(events);
    }
  }
}

TEST(OutputParser, NamesItsFormats) {
  for (const char* name :
       {"hermes",       "mistral",      "llama3_json",    "llama4_json", "llama4_pythonic", "pythonic",
        "deepseek_v3",  "deepseek_v31", "deepseek_v32",   "deepseek_v4", "kimi_k2",         "glm45",
        "glm47",        "minimax_m2",   "openai",         "granite",     "granite-20b-fc",  "granite4",
        "hunyuan_a13b", "ernie45",      "phi4_mini_json", "xlam",        "internlm",        "qwen3_coder",
        "qwen3_xml",    "jamba",        "seed_oss",       "step3",       "step3p5",         "longcat",
        "lfm2",         "olmo3",        "apertus",        "gigachat3",   "cohere_command3"}) {
    EXPECT_NE(find_call_format(name), nullptr) << name;
  }
  EXPECT_EQ(find_call_format("none"), nullptr);
  EXPECT_EQ(find_reasoning_format(""), nullptr);
}

}  // namespace
}  // namespace polymath::text
