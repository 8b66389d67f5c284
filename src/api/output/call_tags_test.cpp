// What the grammars of calls allow is what the parsers of answers read, in every format.

#include "api/output/call_tags.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "api/chat/tool_types.h"
#include "text/grammar/grammar.h"
#include "text/output/output_parser.h"

namespace polymath::api {
namespace {

using text::CallFormat;
using text::grammar::Matcher;
using text::grammar::Vocabulary;

constexpr char kTools[] = R"([
  {"type": "function", "function": {"name": "get_weather", "strict": true, "parameters": {
    "type": "object", "required": ["city", "days"], "additionalProperties": false,
    "properties": {
      "city": {"type": "string", "description": "Its name"},
      "days": {"type": "integer", "minimum": 1, "maximum": 5},
      "unit": {"$ref": "#/$defs/unit"},
      "note": {"anyOf": [{"type": "string"}, {"type": "null"}]},
      "at": {"type": "array", "items": {"type": "boolean"}, "maxItems": 2}},
    "$defs": {"unit": {"type": "string", "enum": ["c", "f"]}}}}},
  {"type": "function", "function": {"name": "ping"}}])";

base::JsonValue tools() { return *base::parse_json(kTools, {}); }

base::JsonArray functions() {
  const base::JsonValue all = tools();
  base::JsonArray out;
  for (const base::JsonValue& tool : all.as_array()) out.push_back(tool.at("function"));
  return out;
}

// Every byte, and a special token for each part of a mark that looks like one.
std::shared_ptr<const Vocabulary> vocabulary_of(const CallFormat& format) {
  std::set<std::string> specials;
  for (const std::string_view mark : text::marks_of({.calls = &format})) {
    if (mark.starts_with("<|") && mark.ends_with("|>") && mark.find("><") == std::string_view::npos) {
      specials.emplace(mark);
    }
  }
  std::vector<std::string> texts = {"\xFF</s>"};
  for (int byte = 0; byte < 128; ++byte) texts.emplace_back(1, static_cast<char>(byte));
  for (int byte = 128; byte < 255; ++byte) texts.emplace_back(1, static_cast<char>(byte));
  for (const std::string& special : specials) texts.push_back(absl::StrCat("\xFF", special));
  return std::make_shared<const Vocabulary>(std::move(texts), std::vector<text::TokenId>{0});
}

std::shared_ptr<text::grammar::Grammar> grammar_of(const CallFormat& format, const tags::Node& node) {
  const base::JsonObject document{{"format", node}};
  const auto made = text::grammar::compile({text::grammar::Language::kStructuralTag, base::to_text(document)},
                                           vocabulary_of(format), {});
  EXPECT_TRUE(made.ok()) << format.name << ": " << made.status();
  return made.ok() ? *made : nullptr;
}

// A text that the grammar allows. Bytes that close something are preferred, and marks that do. Empty: it was too long.
std::string written(const std::shared_ptr<text::grammar::Grammar>& grammar, const CallFormat& format, unsigned seed) {
  const auto vocabulary = vocabulary_of(format);
  std::minstd_rand random(seed);
  Matcher matcher(grammar);
  std::string out;
  for (int step = 0; step < 1000; ++step) {
    const std::string_view mark = format.tagged.value_end;
    if (Matcher closed = matcher; !mark.empty() && random() % 4 == 0 && closed.accept_bytes(mark)) {
      matcher = closed;
      out += mark;
    }
    std::vector<uint64_t> words((vocabulary->size() + 63) / 64, ~uint64_t{0});
    matcher.fill(words);
    std::vector<text::TokenId> allowed, closing;
    for (text::TokenId id = 0; id < static_cast<text::TokenId>(vocabulary->size()); ++id) {
      if (((words[id >> 6] >> (id & 63)) & 1) == 0) continue;
      allowed.push_back(id);
      const std::string_view bytes = vocabulary->bytes(id);
      if (id == 0 || bytes.starts_with('\xFF') || std::string_view("\"<]}/").find(bytes) < 5) closing.push_back(id);
    }
    EXPECT_FALSE(allowed.empty()) << matcher.failure() << " behind " << out;
    // Half a character is no text that a parser gets. Marks alone have others than ASCII here.
    const auto is_ascii = [](text::TokenId id) { return id <= 128 || id > 255; };
    if (std::any_of(allowed.begin(), allowed.end(), is_ascii)) std::erase_if(allowed, std::not_fn(is_ascii));
    if (allowed.empty()) return "";
    const auto& chosen = !closing.empty() && random() % 4 != 0 ? closing : allowed;
    const text::TokenId id = chosen[random() % chosen.size()];
    if (id == 0) return out;
    EXPECT_TRUE(matcher.accept(id));
    std::string_view bytes = vocabulary->bytes(id);
    if (bytes.starts_with('\xFF')) bytes.remove_prefix(1);
    out += bytes;
  }
  return "";
}

text::OutputEvents read(const CallFormat& format, const std::string& text) {
  text::OutputEvents events;
  const auto parser = text::make_output_parser({.calls = &format}, {.types = declared_types(tools())});
  parser->push(text, events);
  parser->finish(events);
  return events;
}

void check_arguments(const std::string& function, const std::string& text) {
  const auto arguments = base::parse_json(text, {});
  ASSERT_TRUE(arguments.ok()) << text;
  if (function == "ping") return;
  EXPECT_EQ(function, "get_weather");
  EXPECT_TRUE(arguments->at("city").is_string()) << text;
  const int64_t days = arguments->at("days").as_int64();
  EXPECT_TRUE(days >= 1 && days <= 5) << text;
  const auto* unit = arguments->as_object().if_contains("unit");
  EXPECT_TRUE(unit == nullptr || *unit == "c" || *unit == "f") << text;
  const auto* at = arguments->as_object().if_contains("at");
  EXPECT_TRUE(at == nullptr || at->is_array()) << text;
}

// The number of calls; -1: the answer has other text.
int check_calls(const text::OutputEvents& events) {
  int n = 0;
  std::string function, arguments;
  for (const text::OutputEvent& event : events) {
    if (event.kind == text::OutputKind::kContent || event.kind == text::OutputKind::kReasoning) return -1;
    if (event.kind == text::OutputKind::kCallBegin) function = event.text;
    if (event.kind == text::OutputKind::kArguments) arguments += event.text;
    if (event.kind != text::OutputKind::kCallEnd) continue;
    check_arguments(function, arguments);
    arguments.clear();
    ++n;
  }
  return n;
}

TEST(CallTags, WhatIsWrittenIsRead) {
  for (const CallFormat& format : text::call_formats()) {
    if (format.family == text::CallFamily::kPythonic) continue;
    SCOPED_TRACE(format.name);
    for (const bool several : {false, true}) {
      const auto tags = CallTags::make({.format = &format, .functions = functions(), .several = several});
      ASSERT_TRUE(tags.ok()) << tags.status();
      const auto grammar = grammar_of(format, tags->calls());
      ASSERT_NE(grammar, nullptr);
      int n_written = 0;
      for (unsigned seed = 1; seed <= 12; ++seed) {
        const std::string text = written(grammar, format, seed);
        if (text.empty()) continue;
        ++n_written;
        const int n = check_calls(read(format, text));
        EXPECT_TRUE(several ? n >= 1 : n == 1) << n << " calls in " << text;
        if (HasFailure()) return;
      }
      EXPECT_GT(n_written, 8);
    }
  }
}

// Answers as models write them: tests/conformance/data/tool_calls has many more, which the parsers read.
TEST(CallTags, TakesWhatModelsWrite) {
  const std::pair<const char*, const char*> rows[] = {
      {"hermes",
       "<tool_call>\n{\"name\": \"get_weather\", \"arguments\": {\"city\": \"Ulm\", \"days\": 2}}\n</tool_call>"},
      {"hermes",
       "<tool_call>\n{\"name\": \"ping\", \"arguments\": {}}\n</tool_call>\n<tool_call>\n{\"name\": \"ping\", "
       "\"arguments\": {}}\n</tool_call>"},
      {"llama3_json", R"({"name": "get_weather", "parameters": {"city": "Ulm", "days": 2}})"},
      {"llama3_json", R"({"name": "ping", "parameters": {}}; {"name": "ping", "parameters": {}})"},
      {"mistral", R"([TOOL_CALLS][{"name": "ping", "arguments": {}}])"},
      {"mistral", R"([TOOL_CALLS]ping[ARGS]{})"},
      {"phi4_mini_json", R"(functools[{"name": "ping", "arguments": {}}])"},
      {"deepseek_v3",
       "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>ping\n```json\n{}\n```"
       "<｜tool▁call▁end｜><｜tool▁calls▁end｜>"},
      {"deepseek_v31",
       "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>ping<｜tool▁sep｜>{}<｜tool▁call▁end｜>"
       "<｜tool▁calls▁end｜>"},
      {"qwen3_coder",
       "<tool_call>\n<function=get_weather>\n<parameter=city>\nUlm \"x\"\n</parameter>\n<parameter=days>\n2\n"
       "</parameter>\n<parameter=unit>\nc\n</parameter>\n</function>\n</tool_call>"},
      {"glm45",
       "<tool_call>get_weather\n<arg_key>city</arg_key>\n<arg_value>Ulm</arg_value>\n<arg_key>days</arg_key>\n"
       "<arg_value>2</arg_value>\n</tool_call>"},
      {"minimax_m2",
       "<minimax:tool_call>\n<invoke name=\"get_weather\">\n<parameter name=\"city\">Ulm</parameter>\n"
       "<parameter name=\"days\">2</parameter>\n</invoke>\n</minimax:tool_call>"},
      {"deepseek_v32",
       "<｜DSML｜function_calls>\n<｜DSML｜invoke name=\"get_weather\">\n<｜DSML｜parameter name=\"city\" "
       "string=\"true\">Ulm</｜DSML｜parameter>\n<｜DSML｜parameter name=\"days\" string=\"false\">2"
       "</｜DSML｜parameter>\n</｜DSML｜invoke>\n</｜DSML｜function_calls>"},
  };
  for (const auto& [name, text] : rows) {
    SCOPED_TRACE(name);
    const CallFormat* format = text::find_call_format(name);
    const auto tags = CallTags::make({.format = format, .functions = functions()});
    ASSERT_TRUE(tags.ok()) << tags.status();
    Matcher matcher(grammar_of(*format, tags->calls()));
    EXPECT_TRUE(matcher.accept_bytes(text) && matcher.may_end()) << text;
    Matcher within(grammar_of(*format, tags->within_text()));
    EXPECT_TRUE(within.accept_bytes(text) && within.may_end()) << text;
  }
}

TEST(CallTags, WithinText) {
  const CallFormat* format = text::find_call_format("hermes");
  const auto tags = CallTags::make({.format = format, .functions = functions(), .every_schema = false});
  const auto grammar = grammar_of(*format, tags->within_text());
  const std::pair<const char*, bool> rows[] = {
      {"No tool is needed.", true},
      {"", true},
      {"Let me see. <tool_call>{\"name\": \"ping\", \"arguments\": {\"any\": 1}}</tool_call> There.", true},
      {"<tool_call>{\"name\": \"get_weather\", \"arguments\": {\"city\": \"Ulm\", \"days\": 2}}</tool_call>", true},
      {"<tool_call>{\"name\": \"get_weather\", \"arguments\": {\"city\": \"Ulm\"}}</tool_call>", false},
      {"<tool_call>{\"name\": \"other\", \"arguments\": {}}</tool_call>", false},
  };
  for (const auto& [text, good] : rows) {
    Matcher matcher(grammar);
    EXPECT_EQ(matcher.accept_bytes(text) && matcher.may_end(), good) << text;
  }
}

TEST(CallTags, Refusals) {
  const auto refusal = [](const char* format, const char* schema) {
    const auto parameters = base::parse_json(schema, {});
    const base::JsonArray one = {base::JsonObject{{"name", "f"}, {"parameters", *parameters}}};
    return std::string(CallTags::make({.format = text::find_call_format(format), .functions = one}).status().message());
  };
  EXPECT_EQ(refusal("pythonic", "{}"), "the format pythonic writes arguments as Python, which no grammar holds");
  EXPECT_EQ(refusal("glm45", R"({"properties": {"a": {"type": "string", "pattern": "x"}}})"),
            "the format glm45 writes parameters between tags, where the keyword pattern cannot be held");
  EXPECT_EQ(refusal("glm45", R"({"minProperties": 1})"),
            "the format glm45 writes parameters between tags, where the keyword minProperties cannot be held");
  EXPECT_EQ(refusal("hermes", R"({"minProperties": 1})"), "");
}

}  // namespace
}  // namespace polymath::api
