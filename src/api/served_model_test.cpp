#include "api/served_model.h"

#include <gtest/gtest.h>

#include "api/test_model.h"

namespace polymath::api {
namespace {

TEST(ServedModel, FactsOfTheTokenizer) {
  const ServedModel model = stand_in_model();
  EXPECT_GT(model.token_bytes_max, 1u);
  EXPECT_EQ(model.template_variables.at("eos_token"), "<|im_end|>");
}

TEST(ServedModel, TheNameOrTheToolsChooseTheTemplate) {
  ServedModel model;
  const auto chosen = [&](std::string_view name, bool with_tools) -> std::string {
    const ServedTemplate* found = find_template(model, name, with_tools);
    return found == nullptr ? "none" : found->name;
  };
  EXPECT_EQ(chosen("", false), "none");
  model.chat_templates = {{"default", nullptr, {}}, {"rag", nullptr, {}}};
  EXPECT_EQ(chosen("", false), "default");
  EXPECT_EQ(chosen("", true), "default");
  EXPECT_EQ(chosen("rag", true), "rag");
  EXPECT_EQ(chosen("tool_use", true), "none");
  model.chat_templates.push_back({"tool_use", nullptr, {}});
  EXPECT_EQ(chosen("", false), "default");
  EXPECT_EQ(chosen("", true), "tool_use");
  EXPECT_EQ(chosen("default", true), "default");
}

TEST(ServedModel, TheNameChoosesTheAdapter) {
  ServedModel model;
  model.names = {"base", "alias"};
  model.adapters = {{"capitals", "/a", "base"}, {"korean", "/b", "base"}};
  const struct {
    const char* name;
    int adapter;
  } rows[] = {{"base", -1}, {"alias", -1}, {"capitals", 0}, {"korean", 1}};
  for (const auto& row : rows) EXPECT_EQ(*adapter_of(model, row.name), row.adapter) << row.name;
  for (const char* name : {"", "Korean", "/a"}) {
    EXPECT_EQ(adapter_of(model, name).status().code(), absl::StatusCode::kNotFound) << name;
  }
}

TEST(ServedModel, DefaultsOfGenerationConfig) {
  const auto read = [](const char* text) { return parse_sampling_defaults(*base::parse_json(text, {})); };
  const auto full = read(R"({"temperature":0.6,"top_p":0.9,"top_k":20,"repetition_penalty":1.1,"max_new_tokens":7})");
  ASSERT_TRUE(full.ok());
  EXPECT_FLOAT_EQ(full->temperature, 0.6f);
  EXPECT_EQ(full->top_k, 20);
  EXPECT_EQ(full->max_tokens, 7);
  EXPECT_TRUE(read(R"({"temperature":null,"do_sample":true})").ok());
  EXPECT_FALSE(read(R"({"temperature":"hot"})").ok());
  EXPECT_FALSE(read(R"({"max_new_tokens":0})").ok());
}

}  // namespace
}  // namespace polymath::api
