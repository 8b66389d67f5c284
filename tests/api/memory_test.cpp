// The memory plan at start-up: the refusal with flags that fit, and the metric.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "commands/memory.h"
#include "commands/runtime.h"

namespace polymath::test {
namespace {

using commands::Runtime;
using testing::HasSubstr;

commands::RuntimeOptions small() {
  return {.backend = "cpu", .threads = 1, .kv_bytes = 4 << 20, .step_tokens = 128, .sequences = 4};
}

absl::Status open(const commands::RuntimeOptions& options, int max_model_len = 0) {
  return Runtime::open({.name = POLYMATH_STAND_IN, .max_model_len = max_model_len}, options).status();
}

// The number before `after` that follows `before`.
int64_t number_between(const std::string& text, const std::string& before, const std::string& after) {
  const size_t begin = text.find(before);
  const size_t end = text.find(after, begin + before.size());
  CHECK(begin != text.npos && end != text.npos);
  return std::stoll(text.substr(begin + before.size(), end - begin - before.size()));
}

TEST(Memory, ARefusalNamesAKvCacheThatFits) {
  commands::RuntimeOptions options = small();
  options.kv_bytes = int64_t{1} << 50;
  const absl::Status refused = open(options);
  ASSERT_EQ(refused.code(), absl::StatusCode::kResourceExhausted);
  const std::string message(refused.message());
  EXPECT_THAT(message, HasSubstr("not enough memory: "));
  // Others use the machine meanwhile.
  options.kv_bytes = (number_between(message, "--kv-cache-memory-bytes ", "Mi would fit") << 20) / 2;
  EXPECT_TRUE(open(options).ok());
}

TEST(Memory, ARefusalNamesAStepThatFits) {
  commands::RuntimeOptions options = small();
  options.step_tokens = 1 << 30;
  options.kv_bytes = 0;
  const absl::Status refused = open(options);
  ASSERT_EQ(refused.code(), absl::StatusCode::kResourceExhausted);
  options.step_tokens =
      static_cast<int>(number_between(std::string(refused.message()), "--max-num-batched-tokens ", " would fit") / 2);
  EXPECT_TRUE(open(options).ok()) << options.step_tokens;
}

TEST(Memory, ACacheThatIsTooSmallIsRefusedBeforeTheLoad) {
  commands::RuntimeOptions options = small();
  options.kv_bytes = 1;
  const absl::Status refused = open(options, 64);
  ASSERT_EQ(refused.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(refused.message()), HasSubstr("one request of 64 needs"));
}

TEST(Memory, TheMetricHasWhatWasAllocated) {
  base::MetricsRegistry metrics;
  auto runtime = Runtime::open({.name = POLYMATH_STAND_IN}, small());
  ASSERT_TRUE(runtime.ok()) << runtime.status();
  ASSERT_TRUE((*runtime)->load(metrics).ok());
  const model::Transformer& model = (*runtime)->transformer();
  const std::pair<const char*, size_t> kinds[] = {{"weights", model.weight_bytes()},
                                                  {"scratch", model.scratch_bytes()},
                                                  {"kv_cache", model.kv_bytes()},
                                                  {"graphs", model.graph_bytes()}};
  const std::string text = metrics.render();
  for (const auto& [kind, bytes] : kinds) {  // on a CPU the plan is exact
    EXPECT_THAT(text, HasSubstr(absl::StrCat("polymath:memory_bytes{kind=\"", kind, "\"} ", bytes, "\n")));
    EXPECT_THAT(text, HasSubstr(absl::StrCat("polymath:memory_planned_bytes{kind=\"", kind, "\"} ", bytes, "\n")));
  }
  EXPECT_LE(model.kv_bytes(), size_t{4} << 20);
}

}  // namespace
}  // namespace polymath::test
