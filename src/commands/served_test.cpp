#include "commands/served.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

namespace polymath::commands {
namespace {

const std::string kModels = std::string(POLYMATH_SOURCE_DIR) + "/models/";

Options stand_in() {
  Options options;
  options.model.name = POLYMATH_STAND_IN;
  options.runtime = {.backend = "reference", .kv_bytes = 1 << 20, .step_tokens = 32, .sequences = 4};
  return options;
}

absl::Status start(const Options& options) {
  base::MetricsRegistry metrics;
  return build_served(options, metrics).status();
}

TEST(Served, NamesTemplateAndLengths) {
  Options options = stand_in();
  options.model.max_model_len = 48;
  options.text.content_format = "openai";
  options.text.chat_template =
      "{% for m in messages %}{% for part in m.content %}{{ part.text }}{% endfor %}{% endfor %}";
  base::MetricsRegistry metrics;
  const auto served = build_served(options, metrics);
  ASSERT_TRUE(served.ok()) << served.status();
  EXPECT_EQ(served->model.names, std::vector<std::string>{options.model.name});
  EXPECT_EQ(served->model.root, options.model.name);
  EXPECT_EQ(served->model.model_len_max, 48);
  ASSERT_EQ(served->model.chat_templates.size(), 1u);
  EXPECT_EQ(served->model.chat_templates[0].name, "default");
  EXPECT_EQ(served->model.chat_templates[0].form.user, api::ContentForm::kParts);
  EXPECT_TRUE(served->model.adapters.empty());
  EXPECT_EQ(served->runtime->kv_blocks() > 0, true);
}

// What would make every request fail is found before the weights are read.
TEST(Served, AStartThatCouldServeNothingFails) {
  Options parts = stand_in();
  parts.text.content_format = "openai";  // the stand-in's template wants text
  EXPECT_THAT(std::string(prepare_served(parts).status().message()), testing::HasSubstr("refuses every chat"));
  Options raises = stand_in();
  raises.text.chat_template = "{{ raise_exception('never') }}";
  EXPECT_EQ(prepare_served(raises).status().code(), absl::StatusCode::kInvalidArgument);
  Options plain = stand_in();
  EXPECT_TRUE(prepare_served(plain).ok()) << prepare_served(plain).status();
}

TEST(Served, ReplicasReadOneSetOfWeights) {
  Options options = stand_in();
  options.runtime.backend = "cpu";
  options.runtime.replicas = 3;
  base::MetricsRegistry metrics;
  const auto served = build_served(options, metrics);
  ASSERT_TRUE(served.ok()) << served.status();
  ASSERT_EQ(served->engines().size(), 3u);
  EXPECT_EQ(&served->intake(), static_cast<engine::Intake*>(served->replicas.get()));
  for (const auto& other : served->others) {
    EXPECT_LT(2 * other->transformer().weight_bytes(), served->runtime->transformer().weight_bytes());
    EXPECT_EQ(other->kv_blocks(), served->runtime->kv_blocks());
  }
}

TEST(Served, RefusesWhatReplicasAndRanksCannot) {
  const struct {
    const char* said;
    std::function<void(RuntimeOptions&)> set;
  } rows[] = {
      {"with --enable-expert-parallel is not built", [](auto& o) { o.replicas = 2, o.expert_parallel = true; }},
      {"no label for replicas", [](auto& o) { o.replicas = 2, o.metrics.tgi = true; }},
      {"--enable-eplb needs --enable-expert-parallel", [](auto& o) { o.moves_experts = true; }},
      {"--num-redundant-experts needs --enable-eplb", [](auto& o) { o.balance.n_redundant = 2; }},
      {"--enable-eplb with --pipeline-parallel-size",
       [](auto& o) { o.moves_experts = o.expert_parallel = true, o.tensor_parallel = o.pipeline_parallel = 2; }},
      {"--pipeline-layers names 1 stages", [](auto& o) { o.pipeline_parallel = 2, o.pipeline_layers = {2}; }},
      {"there is no rank 2", [](auto& o) { o.pipeline_parallel = 2, o.rank_fault = {.rank = 2, .step = 1}; }},
      {"--enable-eplb with --batch-invariant",
       [](auto& o) { o.moves_experts = o.expert_parallel = o.batch_invariant = true, o.tensor_parallel = 2; }},
  };
  for (const auto& row : rows) {
    Options options = stand_in();
    row.set(options.runtime);
    EXPECT_THAT(std::string(start(options).message()), testing::HasSubstr(row.said));
  }
}

TEST(Served, AdaptersAreListedInOrderWithTheirParents) {
  Options options = stand_in();
  options.model.name = kModels + "polymath-demo";
  options.model.served_names = {"demo"};
  options.model.max_model_len = 64;
  options.model.adapters = {.enabled = true,
                            .modules = {{"capitals", kModels + "polymath-demo-lora-capitals"},
                                        {"korean", kModels + "polymath-demo-lora-korean", "other"}}};
  base::MetricsRegistry metrics;
  const auto served = build_served(options, metrics);
  ASSERT_TRUE(served.ok()) << served.status();
  ASSERT_EQ(served->model.adapters.size(), 2u);
  EXPECT_EQ(served->model.adapters[0].name, "capitals");
  EXPECT_EQ(served->model.adapters[0].parent, "demo");
  EXPECT_EQ(served->model.adapters[1].parent, "other");
  EXPECT_EQ(served->runtime->transformer().n_adapters(), 2);
}

TEST(Served, RefusalsNameTheFlag) {
  struct Row {
    const char* what;
    void (*change)(Options&);
    absl::StatusCode code;
    const char* says;
  };
  using enum absl::StatusCode;
  const Row rows[] = {
      {"template", [](Options& o) { o.text.chat_template = "missing.jinja"; }, kInvalidArgument, "--chat-template"},
      {"length", [](Options& o) { o.model.max_model_len = 1 << 20; }, kInvalidArgument, "--max-model-len"},
      {"KV", [](Options& o) { o.runtime.kv_bytes = int64_t{1} << 50; }, kResourceExhausted, "--kv-cache-memory-bytes"},
      {"KV for one request", [](Options& o) { o.model.max_model_len = 512, o.runtime.kv_bytes = 1 << 14; },
       kResourceExhausted, "--max-model-len"},
      {"adapter",
       [](Options& o) {
         o.model.adapters.modules = {{"x", "/nowhere"}};
       },
       kNotFound, "/nowhere"},
  };
  for (const Row& row : rows) {
    Options options = stand_in();
    row.change(options);
    const absl::Status status = start(options);
    EXPECT_EQ(status.code(), row.code) << row.what << status;
    EXPECT_NE(std::string(status.message()).find(row.says), std::string::npos) << status;
  }
}

}  // namespace
}  // namespace polymath::commands
