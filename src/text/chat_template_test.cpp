#include "text/chat_template.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <sstream>

namespace polymath::text {
namespace {

constexpr int64_t kNow = 1771061400;  // 2026-02-14 09:30:00
const std::string kData = std::string(POLYMATH_SOURCE_DIR) + "/tests/conformance/data/chat_templates/";

std::string read(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::stringstream text;
  text << in.rdbuf();
  return text.str();
}

std::string get(const base::JsonValue& object, const char* key) {
  const auto& s = object.get_object().at(key).get_string();
  return {s.data(), s.size()};
}

absl::StatusOr<std::string> render(std::string_view source, const base::JsonValue& variables = base::JsonObject{}) {
  const auto parsed = ChatTemplate::parse(source, {});
  if (!parsed.ok()) return parsed.status();
  return parsed->render(variables, kNow);
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

}  // namespace
}  // namespace polymath::text
