// Metrics of requests that run in a loop over a fake model.

#include "engine/metrics/engine_metrics.h"

#include <gtest/gtest.h>

#include <string>

#include "engine/harness_test.h"

namespace polymath::engine {
namespace {

double value_of(Harness& harness, const std::string& name, const std::string& labels) {
  const std::string line = "\n" + name + "{" + labels + "} ";
  const std::string page = harness.registry.render();
  const size_t at = page.find(line);
  EXPECT_NE(at, std::string::npos) << line;
  return at == std::string::npos ? -1 : std::stod(page.substr(at + line.size()));
}

constexpr char kNewest[] = R"(engine="0",model_name="fake")", kOld[] = R"(model_name="fake")";

// The second prompt is the first's: it waits until the first has computed the block that they share.
TEST(EngineMetrics, APrefixInFlightDefersAndIsCountedBySource) {
  Harness harness(1, {.mixing = {.prompt_tokens_max = 40}});
  const std::string labels = kNewest;
  harness.add(greedy(3, 9, 30, std::make_shared<Recorder>()));
  ASSERT_TRUE(harness.step().ok());
  harness.add(greedy(32, 5, 4, std::make_shared<Recorder>()));
  harness.add(greedy(32, 5, 4, std::make_shared<Recorder>()));
  ASSERT_TRUE(harness.step().ok());
  const std::string waiting = "vllm:num_requests_waiting_by_reason";
  EXPECT_EQ(value_of(harness, waiting, labels + R"(,reason="deferred")"), 1);
  EXPECT_EQ(value_of(harness, waiting, labels + R"(,reason="capacity")"), 0);
  harness.run();
  EXPECT_EQ(value_of(harness, waiting, labels + R"(,reason="deferred")"), 0);
  const std::string source = "vllm:prompt_tokens_by_source_total";
  const double computed = value_of(harness, source, labels + R"(,source="local_compute")");
  const double found = value_of(harness, source, labels + R"(,source="local_cache_hit")");
  EXPECT_EQ(computed + found, 67);
  EXPECT_EQ(found, 16) << "the last block gives the logits";
  EXPECT_EQ(found, value_of(harness, "vllm:prompt_tokens_cached_by_source_total", labels + R"(,source="device")"));
  EXPECT_EQ(value_of(harness, "vllm:request_prefill_kv_computed_tokens_sum", labels), computed);
  EXPECT_EQ(value_of(harness, "vllm:request_num_preemptions_count", labels), 3);
}

TEST(EngineMetrics, LogitsThatAreNoNumbers) {
  for (const int depth : {1, 2}) {
    Harness harness(depth, {.metrics = {.tgi = true}});
    harness.model.not_a_number = true;
    const auto sink = std::make_shared<Recorder>();
    harness.add(greedy(5, 1, 4, sink));
    harness.run();
    EXPECT_EQ(sink->wait().reason, FinishReason::kError);
    EXPECT_EQ(value_of(harness, "vllm:corrupted_requests_total", kNewest), 1);
    EXPECT_EQ(value_of(harness, "tgi_request_failure", R"(err="generation")"), 1);
  }
}

TEST(EngineMetrics, OldLabelsAndTgi) {
  Harness harness(1, {.metrics = {.vllm_063 = true, .tgi = true}});
  for (int i = 0; i < 3; ++i) harness.add(greedy(10 + i, i, 5, std::make_shared<Recorder>()));
  harness.run();
  EXPECT_EQ(value_of(harness, "vllm:request_success_total", std::string(kOld) + R"(,finished_reason="length")"), 3);
  EXPECT_EQ(value_of(harness, "vllm:num_requests_swapped", kOld), 0);
  const std::string page = harness.registry.render();
  EXPECT_EQ(page.find("engine=\"0\""), std::string::npos);
  EXPECT_NE(page.find("\ntgi_request_success 3\n"), std::string::npos);
  EXPECT_NE(page.find("\ntgi_request_generated_tokens_sum 15\n"), std::string::npos);
  EXPECT_NE(page.find("\ntgi_batch_current_max_tokens 0\n"), std::string::npos);
  EXPECT_NE(page.find("\ntgi_batch_next_size_sum 3\n"), std::string::npos);
  EXPECT_EQ(value_of(harness, "tgi_batch_inference_count", R"(method="prefill")"), 1);
  EXPECT_EQ(value_of(harness, "tgi_batch_inference_count", R"(method="decode")"), 4);
}

TEST(EngineMetrics, AdaptersByName) {
  Harness harness(1, {.metrics = {.adapters = {"a", "b"}, .adapters_max = 2}});
  const auto labels = [](const char* running, const char* waiting) {
    return std::string(kNewest) + R"(,max_lora="2",running_lora_adapters=")" + running +
           R"(",waiting_lora_adapters=")" + waiting + "\"";
  };
  EXPECT_GT(value_of(harness, "vllm:lora_requests_info", labels("", "")), 1.7e9);
  base::MetricsRegistry registry;
  AdapterMetrics metrics({.adapters = {"a", "b"}, .adapters_max = 2}, {}, registry);
  metrics.waits(0);
  metrics.waits(1);
  metrics.starts(0);
  metrics.waits(-1);  // the base model
  EXPECT_NE(registry.render().find(R"(running_lora_adapters="a",waiting_lora_adapters="b"})"), std::string::npos);
  metrics.ends(0, true);
  metrics.ends(1, false);
  EXPECT_NE(registry.render().find(R"(running_lora_adapters="",waiting_lora_adapters=""})"), std::string::npos);
}

}  // namespace
}  // namespace polymath::engine
