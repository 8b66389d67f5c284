#include "plan/hardware.h"

#include <gtest/gtest.h>

namespace polymath::plan {
namespace {

TEST(Hardware, FindsGpusByNameAndByItsUniqueStart) {
  struct Case {
    const char *name, *found;  // null: not known, or not unique
  };
  constexpr Case kCases[] = {{"h200", "h200"},
                             {"H100", "h100-80gb"},
                             {"a100-40gb", "a100-40gb"},
                             {"A100-80GB", "a100-80gb"},
                             {"a100", nullptr},
                             {"h300", nullptr},
                             {"", nullptr}};
  for (const Case& c : kCases) {
    SCOPED_TRACE(c.name);
    const Gpu* gpu = find_gpu(c.name);
    ASSERT_EQ(gpu != nullptr, c.found != nullptr);
    if (gpu != nullptr) {
      EXPECT_EQ(gpu->name, c.found);
    }
  }
}

TEST(Hardware, BuiltInPricesNameEveryInstanceOfTheGuide) {
  const PriceList& list = built_in_prices();
  struct Row {
    const char *instance, *gpu;
    int n_gpus;
    double dollars;
  };
  constexpr Row kRows[] = {{"p4d.24xlarge", "a100-40gb", 8, 21.957642}, {"p5.48xlarge", "h100-80gb", 8, 55.04},
                           {"p5e.48xlarge", "h200", 8, 43.26},          {"g5.48xlarge", "a10g", 8, 16.288},
                           {"g6e.48xlarge", "l40s", 8, 30.13118},       {"trn1.32xlarge", "trainium1", 16, 21.50},
                           {"trn2.48xlarge", "trainium2", 16, 35.76}};
  for (const Row& row : kRows) {
    SCOPED_TRACE(row.instance);
    const Instance* instance = list.find(row.instance);
    ASSERT_NE(instance, nullptr);
    EXPECT_EQ(instance->gpu->name, row.gpu);
    EXPECT_EQ(instance->n_gpus, row.n_gpus);
    EXPECT_EQ(instance->dollars_an_hour, row.dollars);
    EXPECT_FALSE(instance->source.empty());
  }
}

TEST(Hardware, RefusesPriceListsThatAreWrong) {
  struct Case {
    const char *text, *complaint;
  };
  constexpr Case kCases[] = {
      {"[", "JSON"},
      {R"({"instances": []})", "dated"},
      {R"({"dated": "x"})", "instances"},
      {R"({"dated": "x", "instances": [{"gpu": "h200", "gpus": 1}]})", "instance"},
      {R"({"dated": "x", "instances": [{"instance": "a", "gpu": "h300", "gpus": 1}]})", "h300"},
      {R"({"dated": "x", "instances": [{"instance": "a", "gpu": "h200", "gpus": 0}]})", "gpus"},
      {R"({"dated": "x", "instances": [{"instance": "a", "gpu": "h200", "gpus": 1, "dollars_an_hour": -1}]})",
       "dollars_an_hour"},
      {R"({"dated": "x", "instances": [{"instance": "a", "gpu": "h200", "gpus": 1},
          {"instance": "a", "gpu": "h200", "gpus": 2}]})",
       "twice"},
  };
  for (const Case& c : kCases) {
    SCOPED_TRACE(c.text);
    const auto list = parse_prices(c.text);
    ASSERT_FALSE(list.ok());
    EXPECT_EQ(list.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_NE(list.status().message().find(c.complaint), std::string_view::npos) << list.status();
  }
}

TEST(Hardware, OwnPricesGoOverTheBuiltInOnes) {
  const auto own = parse_prices(R"({"dated": "today", "instances": [
      {"instance": "p5.48xlarge", "gpu": "h100-80gb", "gpus": 8, "dollars_an_hour": 20},
      {"instance": "our-box", "gpu": "h200", "gpus": 4, "dollars_an_hour": 7}]})");
  ASSERT_TRUE(own.ok()) << own.status();
  const PriceList list = merge_prices(built_in_prices(), *own);
  EXPECT_EQ(list.dated, "today");
  EXPECT_EQ(list.find("p5.48xlarge")->dollars_an_hour, 20);
  EXPECT_EQ(list.find("our-box")->n_gpus, 4);
  EXPECT_EQ(list.find("p4d.24xlarge")->dollars_an_hour, 21.957642);
  EXPECT_EQ(list.instances.size(), built_in_prices().instances.size() + 1);
}

}  // namespace
}  // namespace polymath::plan
