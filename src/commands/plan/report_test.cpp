#include "commands/plan/report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <set>
#include <sstream>

#include "commands/plan/guide.h"

namespace polymath::commands {
namespace {

using testing::HasSubstr;

constexpr size_t kColumnsMax = 100;  // a longer line fails

Options on(std::vector<std::string> gpus) {
  Options options;
  options.plan.gpus = std::move(gpus);
  return options;
}

void expect_narrow(const std::string& text) {
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("serve: ")) continue;  // to copy
    EXPECT_LE(line.size(), kColumnsMax) << line;
  }
}

TEST(Plan, DescribesAGroupOfGpus) {
  const Options options = on({"h100"});
  const PlanSettings settings{options, plan::built_in_prices()};
  const auto report = make_report("mixtral-8x7b", settings);
  ASSERT_TRUE(report.ok()) << report.status();
  ASSERT_EQ(report->groups.size(), 1u);
  const GroupReport& group = report->groups[0];
  EXPECT_EQ(group.plan.layout.tensor, 2);
  EXPECT_TRUE(group.fits);
  EXPECT_EQ(group.serve, "polymath serve mistralai/Mixtral-8x7B-v0.1 --tensor-parallel-size 2");
  const std::string text = report_text(*report, settings);
  EXPECT_THAT(text, HasSubstr("46.703 billion; 12.880 active a token, 12.749 without the input embedding"));
  EXPECT_THAT(text, HasSubstr("131,072 bytes a token"));
  EXPECT_THAT(text, HasSubstr("2 x H100 SXM 80 GB, TP2"));
  expect_narrow(text);
  const base::JsonObject json = report_json(*report, settings);
  EXPECT_EQ(json.at("model").at("parameters").as_int64(), 46'702'792'704);
  EXPECT_EQ(json.at("groups").at(0).at("gpus").as_int64(), 2);
}

TEST(Plan, FindsTheFewestGpus) {
  struct Case {
    const char *model, *gpu;
    int gpus;
  };
  constexpr Case kCases[] = {
      {"mixtral-8x7b", "h200", 1},  {"mixtral-8x7b", "a100-40gb", 4}, {"mixtral-8x22b", "h100", 4},
      {"deepseek-v3", "h100", 16},  {"deepseek-v3", "h200", 8},       {"gpt-oss-120b", "h100", 1},
      {"qwen3-30b-a3b", "h100", 1}, {"deepseek-v3", "l4", 64},
  };
  for (const Case& c : kCases) {
    SCOPED_TRACE(testing::Message() << c.model << " on " << c.gpu);
    const Options options = on({c.gpu});
    const auto report = make_report(c.model, {options, plan::built_in_prices()});
    ASSERT_TRUE(report.ok()) << report.status();
    ASSERT_EQ(report->groups.size(), 1u);
    EXPECT_EQ(report->groups[0].plan.layout.gpus(), c.gpus);
  }
}

TEST(Plan, WarnsOfWhatALayoutCosts) {
  struct Case {
    const char* model;
    Options options;
    const char* warning;
  };
  std::vector<Case> cases = {{"deepseek-v3", on({"h200"}), "each of 8 ranks keeps the whole latent"},
                             {"qwen3-30b-a3b", on({"h200"}), "4 KV heads are fewer than 8 ranks"},
                             {"qwen3-30b-a3b", on({"h200"}), "cuts groups of packed weights"},
                             {"gpt-oss-20b", on({"h200"}), "50 % of the KV cache is of layers with a window"},
                             {"mixtral-8x7b", on({"a100-80gb"}), "no kernels for A100"}};
  for (Case& c : cases) {
    SCOPED_TRACE(c.warning);
    c.options.runtime.tensor_parallel = 8;
    if (std::string_view(c.warning).starts_with("cuts")) c.options.plan.weights = "int4_g128";
    const auto report = make_report(c.model, {c.options, plan::built_in_prices()});
    ASSERT_TRUE(report.ok()) << report.status();
    EXPECT_THAT(report->groups[0].warnings, testing::Contains(HasSubstr(c.warning)));
  }
}

TEST(Plan, PricesAMillionTokens) {
  Options options = on({"h100"});
  options.plan.price = true;
  options.plan.tokens_per_second = 1000;
  options.plan.gpus.clear();
  options.plan.instances = {"p5.48xlarge"};
  const PlanSettings settings{options, plan::built_in_prices()};
  const auto report = make_report("mixtral-8x7b", settings);
  ASSERT_TRUE(report.ok()) << report.status();
  const Cost& cost = report->groups[0].cost.value();
  EXPECT_EQ(cost.groups_of_instance, 4);  // of two GPUs each
  EXPECT_EQ(cost.dollars_an_hour, 55.04);
  EXPECT_NEAR(cost.dollars_a_month(), 40'179.2, 0.01);
  EXPECT_NEAR(cost.dollars_a_million(), 55.04 / (4 * 1000 * 3600.0) * 1e6, 1e-9);
  const std::string text = report_text(*report, settings);
  EXPECT_THAT(text, HasSubstr("p5.48xlarge $55.04 an hour, $40,179 a month"));
  EXPECT_THAT(text, HasSubstr("2026-08-26"));
  expect_narrow(text);
}

TEST(Plan, ReadsHeadersOfADirectory) {
  Options options = on({"h200"});
  options.runtime.backend = "cpu";
  options.runtime.threads = 1;
  const PlanSettings settings{options, plan::built_in_prices()};
  const auto report = make_report(POLYMATH_STAND_IN, settings);
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(report->model->source, "safetensors or GGUF headers");
  EXPECT_THAT(report->this_machine, HasSubstr("KV cache holds"));
  expect_narrow(report_text(*report, settings));
}

TEST(Plan, RefusesWhatItDoesNotKnow) {
  const auto status = [](const char* model, const Options& options) {
    return make_report(model, {options, plan::built_in_prices()}).status();
  };
  EXPECT_EQ(status("mixtral-9x9b", on({})).code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(status("mixtral-9x9b", on({})).message()), HasSubstr("known are Mixtral-8x7B"));
  EXPECT_EQ(status("dbrx", on({"h300"})).code(), absl::StatusCode::kNotFound);
  Options options;
  options.plan.instances = {"p9.48xlarge"};
  EXPECT_EQ(status("dbrx", options).code(), absl::StatusCode::kNotFound);
  options = on({"h200"});
  options.runtime.tensor_parallel = 3;
  EXPECT_EQ(status("dbrx", options).code(), absl::StatusCode::kInvalidArgument);
  options = on({"h200"});
  options.model.max_model_len = 1 << 24;
  EXPECT_EQ(status("dbrx", options).code(), absl::StatusCode::kInvalidArgument);
}

TEST(Plan, ComparesModelsInColumns) {
  Options options = on({"h100", "h200"});
  options.plan.price = true;
  const PlanSettings settings{options, plan::built_in_prices()};
  std::vector<ModelReport> reports;
  for (const char* model : {"mixtral-8x7b", "dbrx", "deepseek-v3"}) {
    auto report = make_report(model, settings);
    ASSERT_TRUE(report.ok()) << report.status();
    reports.push_back(*std::move(report));
  }
  const std::string text = comparison_text(reports, settings);
  EXPECT_THAT(text, HasSubstr("DBRX h200"));
  expect_narrow(text);
}

TEST(Guide, MarksItsMistakes) {
  const Options options;
  const auto tables = check_guide({options, plan::built_in_prices()});
  ASSERT_TRUE(tables.ok()) << tables.status();
  std::set<std::string> wrong;
  int n = 0;
  for (const GuideTable& table : *tables) {
    for (const Claim& claim : table.claims) {
      ++n;
      if (claim.right) continue;
      wrong.insert(claim.subject);
      EXPECT_FALSE(claim.note.empty()) << claim.subject;
    }
  }
  EXPECT_GT(n, 50);
  const std::set<std::string> expected = {"DeepSeek-V3, FP16 GB",
                                          "DeepSeek-V3, INT8 GB",
                                          "Qwen2.5-MoE-A14B, total B",
                                          "Qwen2.5-MoE-A14B, FP16 GB",
                                          "Qwen2.5-MoE-A14B, INT8 GB",
                                          "DeepSeek-V3 (fp8)",
                                          "mixtral-8x7b-vllm, p4d.24xlarge",
                                          "mixtral-8x22b-vllm, p5.48xlarge",
                                          "mixtral-8x7b-tgi, p4d.24xlarge",
                                          "p5.48xlarge, $ an hour",
                                          "p5.48xlarge, $ a month",
                                          "p4d.24xlarge, $ an hour",
                                          "p4d.24xlarge, $ a month",
                                          "trn2.48xlarge, $ an hour",
                                          "trn2.48xlarge, $ a month",
                                          "trn2 cheaper than p5.48xlarge, %",
                                          "trn2 cheaper than p4d.24xlarge, %",
                                          "MLA saves of MHA's KV cache, %",
                                          "trn2.48xlarge, accelerator memory GB"};
  EXPECT_EQ(wrong, expected);
  expect_narrow(guide_text(*tables));
}

}  // namespace
}  // namespace polymath::commands
