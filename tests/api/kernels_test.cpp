// Which kernels a model's steps would run, --require-fused, and the metric of those that ran.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "commands/kernel_metrics.h"
#include "commands/op_calls.h"

namespace polymath::test {
namespace {

using testing::Contains;
using testing::HasSubstr;
using testing::Not;

std::unique_ptr<commands::Runtime> look(const char* backend, const char* isa = "") {
  const commands::ModelOptions model{.name = POLYMATH_STAND_IN};
  const commands::RuntimeOptions options{.backend = backend, .isa = isa};
  auto runtime = commands::Runtime::look(model, options);
  EXPECT_TRUE(runtime.ok()) << runtime.status();
  return *std::move(runtime);
}

TEST(Kernels, EveryCallOfAStepHasAVariant) {
  for (const char* backend : {"cpu", "reference"}) {
    const auto runtime = look(backend);
    std::vector<std::string> ops;
    for (const auto& call : commands::op_calls(runtime->config(), commands::call_types(*runtime), {4, 1, 9})) {
      EXPECT_FALSE(runtime->backend().kernels_for(call.call).empty()) << call.call.op << " " << call.what;
      EXPECT_EQ(call.call.tokens, 4);
      ops.emplace_back(call.call.op);
    }
    for (const char* op : {"linear", "attention_of_qkv", "route_experts", "expert_mlp"}) EXPECT_THAT(ops, Contains(op));
  }
}

TEST(Kernels, TheInstructionSetInUseComesFirst) {
  const auto runtime = look("cpu", "portable");
  const auto names = runtime->backend().kernels_for({.op = "linear"});
  ASSERT_FALSE(names.empty());
  EXPECT_EQ(names.front(), "portable");
  EXPECT_TRUE(runtime->backend().kernels_for({.op = "no such op"}).empty());
}

TEST(Kernels, RequireFusedNamesTheComposedOps) {
  const absl::Status status = commands::require_fused(*look("cpu"));
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()), HasSubstr("attention_of_qkv, "));
  EXPECT_THAT(std::string(status.message()), Not(HasSubstr("expert_mlp;")));  // the CPU fuses the experts
  EXPECT_THAT(std::string(commands::require_fused(*look("reference")).message()), HasSubstr("expert_mlp"));
  const commands::RuntimeOptions options{.backend = "cpu", .require_fused = true};
  EXPECT_EQ(commands::Runtime::open({.name = POLYMATH_STAND_IN}, options).status(), status);
}

// On the CPU the flag changes nothing. No backend keeps its promise where a token's experts depend on other tokens.
TEST(Kernels, BatchInvariantRefusesRoutingOfTheWholeStep) {
  const commands::RuntimeOptions options{.backend = "cpu", .batch_invariant = true};
  EXPECT_TRUE(commands::Runtime::look({.name = POLYMATH_STAND_IN}, options).ok());
  const std::string directory = testing::TempDir() + "/whole_step";
  std::filesystem::create_directories(directory);
  for (const char* routing : {R"("name": "expert_choice", "capacity_factor": 2.0)", R"("name": "soft_moe")",
                              R"("name": "softmax_topk", "top_k": 2, "capacity_factor": 1.0)"}) {
    std::ofstream(directory + "/config.json") << R"({"architectures": ["PolymathMoeForCausalLM"], "hidden_size": 32,
      "vocab_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2, "moe_intermediate_size": 24,
      "routing": {"n_experts": 8, )" << routing
                                              << "}}";
    const absl::Status status = commands::Runtime::look({.name = directory}, options).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kUnimplemented) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr("--batch-invariant"));
  }
}

TEST(Kernels, TheMetricHasTheVariantsThatRan) {
  const auto runtime = look("cpu", "portable");
  base::MetricsRegistry metrics;
  commands::KernelMetrics kernels(runtime->backend(), metrics);
  kernels.update();
  kernels.update();
  const std::string text = metrics.render();
  EXPECT_THAT(text, HasSubstr("polymath:kernel_info{op=\"linear\",variant=\"portable\"} 1"));
  EXPECT_THAT(text, HasSubstr("polymath:kernel_info{op=\"route_experts\",variant=\"composition\"} 1"));
  EXPECT_THAT(text, Not(HasSubstr("avx2")));
}

}  // namespace
}  // namespace polymath::test
