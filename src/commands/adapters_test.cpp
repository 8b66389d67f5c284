#include "commands/adapters.h"

#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"

namespace polymath::commands {
namespace {

const std::string kModels = std::string(POLYMATH_SOURCE_DIR) + "/models/";

TEST(Adapters, BothForms) {
  const struct {
    const char* value;
    const char *name, *path, *base;
  } rows[] = {
      {"a=/x", "a", "/x", ""},
      {"a=org/name", "a", "org/name", ""},
      {"a=/x=y", "a", "/x=y", ""},
      {R"({"name":"a","path":"/x"})", "a", "/x", ""},
      {R"({"path":"/x","name":"a","base_model_name":"b"})", "a", "/x", "b"},
  };
  for (const auto& row : rows) {
    const auto module = parse_adapter(row.value);
    ASSERT_TRUE(module.ok()) << row.value << module.status();
    EXPECT_EQ(module->name, row.name);
    EXPECT_EQ(module->path, row.path);
    EXPECT_EQ(module->base_model, row.base);
  }
}

TEST(Adapters, MalformedValues) {
  const std::string rows[] = {
      "",
      "a",
      "=/x",
      "a=",
      "{",
      R"({"name":"a"})",
      R"({"name":"a","path":7})",
      R"({"name":"a","path":"/x","rank":8})",
      R"({"name":"","path":"/x"})",
      std::string(kAdapterNameBytesMax + 1, 'n') + "=/x",
      "a=" + std::string(kAdapterPathBytesMax + 1, 'p'),
  };
  for (const std::string& row : rows) {
    EXPECT_EQ(parse_adapter(row).status().code(), absl::StatusCode::kInvalidArgument) << row.substr(0, 80);
  }
}

TEST(Adapters, NamesAndCountsAreChecked) {
  const AdapterModule a{"a", "/a"}, b{"b", "/b"};
  const struct {
    AdapterOptions adapters;
    const char* says;  // null: fine
  } rows[] = {
      {{}, nullptr},
      {{.enabled = true, .modules = {a, b}}, nullptr},
      {{.enabled = true, .modules = {a, b}, .n_max = 2}, nullptr},
      {{.modules = {a}}, "need --enable-lora"},
      {{.rank_max = 8}, "need --enable-lora"},
      {{.enabled = true}, "needs --lora-modules"},
      {{.enabled = true, .modules = {a, b}, .n_max = 1}, "--max-loras is 1"},
      {{.enabled = true, .modules = {a, a}}, "`a` is taken"},
      {{.enabled = true, .modules = {{"base", "/x"}}}, "`base` is taken"},
      {{.enabled = true, .modules = {{"alias", "/x"}}}, "`alias` is taken"},
  };
  for (const auto& row : rows) {
    const absl::Status status = check_adapters({.served_names = {"base", "alias"}, .adapters = row.adapters}, "base");
    if (row.says == nullptr) {
      EXPECT_TRUE(status.ok()) << status;
    } else {
      EXPECT_NE(std::string(status.message()).find(row.says), std::string::npos) << status;
    }
  }
}

TEST(Adapters, DirectoriesAndRanks) {
  AdapterOptions options{.enabled = true,
                         .modules = {{"capitals", kModels + "polymath-demo-lora-capitals"},
                                     {"korean", kModels + "polymath-demo-lora-korean"}}};
  const auto directories = resolve_adapters(options);
  ASSERT_TRUE(directories.ok()) << directories.status();
  EXPECT_EQ(directories->size(), 2u);
  options.rank_max = 2;
  const absl::Status rank = resolve_adapters(options).status();
  EXPECT_EQ(rank.message(), "the adapter `capitals` has rank 4; --max-lora-rank is 2");
  EXPECT_EQ(resolve_adapters({.modules = {{"x", kModels + "polymath-demo"}}}).status().code(),
            absl::StatusCode::kNotFound)
      << "no adapter_config.json";
}

}  // namespace
}  // namespace polymath::commands
