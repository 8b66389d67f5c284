#include "commands/speculation.h"

#include <gtest/gtest.h>

namespace polymath::commands {
namespace {

TEST(Speculation, LookupBoundsDefaultToEachOther) {
  const struct {
    const char* json;
    int n, min, max;
  } rows[] = {
      {R"({"method":"ngram","num_speculative_tokens":4})", 4, 5, 5},
      {R"({"method":"ngram","num_speculative_tokens":1,"prompt_lookup_max":3})", 1, 3, 3},
      {R"({"method":"ngram","num_speculative_tokens":64,"prompt_lookup_min":2})", 64, 2, 2},
      {R"({"method":"ngram","num_speculative_tokens":4,"prompt_lookup_max":8,"prompt_lookup_min":2})", 4, 2, 8},
  };
  for (const auto& row : rows) {
    const auto options = parse_speculation(row.json);
    ASSERT_TRUE(options.ok()) << options.status();
    EXPECT_EQ(options->method, "ngram");
    EXPECT_EQ(options->n_draft_max, row.n) << row.json;
    EXPECT_EQ(options->lookup_min, row.min) << row.json;
    EXPECT_EQ(options->lookup_max, row.max) << row.json;
  }
}

TEST(Speculation, Refusals) {
  using enum absl::StatusCode;
  const struct {
    const char* json;
    absl::StatusCode code;
    const char* says;
  } rows[] = {
      {"ngram", kInvalidArgument, "JSON"},
      {"[]", kInvalidArgument, "object"},
      {"{}", kInvalidArgument, "method"},
      {R"({"method":"eagle3","model":"m","num_speculative_tokens":4})", kUnimplemented, "`eagle3` is not built"},
      {R"({"method":"ngram"})", kInvalidArgument, "num_speculative_tokens"},
      {R"({"method":"ngram","num_speculative_tokens":0})", kInvalidArgument, "between 1 and 64"},
      {R"({"method":"ngram","num_speculative_tokens":65})", kInvalidArgument, "between 1 and 64"},
      {R"({"method":"ngram","num_speculative_tokens":4,"model":"m"})", kInvalidArgument, "no key `model`"},
      {R"({"method":"ngram","num_speculative_tokens":4,"prompt_lookup_max":0})", kInvalidArgument, "prompt_lookup"},
      {R"({"method":"ngram","num_speculative_tokens":4,"prompt_lookup_max":999})", kInvalidArgument, "prompt_lookup"},
      {R"({"method":"ngram","num_speculative_tokens":4,"prompt_lookup_max":2,"prompt_lookup_min":3})", kInvalidArgument,
       "prompt_lookup"},
  };
  for (const auto& row : rows) {
    const absl::Status status = parse_speculation(row.json).status();
    EXPECT_EQ(status.code(), row.code) << row.json << status;
    EXPECT_NE(std::string(status.message()).find(row.says), std::string::npos) << status;
  }
}

}  // namespace
}  // namespace polymath::commands
