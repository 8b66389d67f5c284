#include "plan/model_facts.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/json.h"
#include "model/loading/load.h"
#include "plan/known_models.h"

namespace polymath::plan {
namespace {

struct Row {
  const char* model;
  double total, active, active_without_embedding;  // billions, three digits
  double bf16_gb, bf16_gib;                        // one digit
  double routed_percent;                           // one digit
  double expert_mib;                               // bf16, one digit
  int64_t kv_bytes;                                // a token, bf16
  double kv_percent;                               // of the same heads as multi-head attention, two digits
};

// Parameters equal the totals of the published safetensors files; the rest follows from the configs by hand.
constexpr Row kRows[] = {
    {"Mixtral-8x7B", 46.703, 12.880, 12.749, 93.4, 87.0, 96.6, 336.0, 131'072, 25.00},
    {"Mixtral-8x22B", 140.621, 39.152, 38.955, 281.2, 261.9, 96.2, 576.0, 229'376, 16.67},
    {"Mixtral-8x22B-Instruct", 140.630, 39.161, 38.960, 281.3, 261.9, 96.2, 576.0, 229'376, 16.67},
    {"DeepSeek-V3", 671.026, 37.552, 36.626, 1342.1, 1249.9, 97.4, 84.0, 70'272, 1.41},
    {"DeepSeek-V2", 235.741, 21.376, 20.852, 471.5, 439.1, 94.5, 45.0, 69'120, 1.41},
    {"DeepSeek-V2-Lite", 15.706, 2.661, 2.451, 31.4, 29.3, 91.6, 16.5, 31'104, 11.25},
    {"DeepSeek-MoE-16B", 16.376, 2.829, 2.619, 32.8, 30.5, 91.3, 16.5, 229'376, 100.00},
    {"Qwen1.5-MoE-A2.7B", 14.316, 2.689, 2.378, 28.6, 26.7, 87.0, 16.5, 196'608, 100.00},
    {"Qwen2-57B-A14B", 57.409, 14.249, 13.705, 114.8, 106.9, 85.9, 52.5, 57'344, 14.29},
    {"Qwen3-30B-A3B", 30.532, 3.353, 3.042, 61.1, 56.9, 95.0, 9.0, 98'304, 12.50},
    {"Qwen3-235B-A22B", 235.094, 22.191, 21.568, 470.2, 437.9, 96.6, 36.0, 192'512, 6.25},
    {"DBRX", 131.597, 36.470, 35.853, 263.2, 245.1, 96.4, 378.0, 163'840, 16.67},
    {"OLMoE-1B-7B", 6.919, 1.282, 1.179, 13.8, 12.9, 93.1, 12.0, 131'072, 100.00},
    {"Phi-3.5-MoE", 41.873, 6.641, 6.510, 83.7, 78.0, 96.2, 150.0, 131'072, 25.00},
    {"gpt-oss-20b", 20.915, 4.187, 3.608, 41.8, 39.0, 91.4, 47.5, 49'152, 12.50},
    {"gpt-oss-120b", 116.829, 5.712, 5.133, 233.7, 217.6, 98.2, 47.5, 73'728, 12.50},
    {"GLM-4.5-Air", 106.852, 13.424, 12.803, 213.7, 199.0, 93.3, 33.0, 188'416, 8.33},
    {"Llama-4-Scout", 107.770, 17.173, 16.138, 215.5, 200.7, 89.7, 240.0, 196'608, 20.00},
    {"Granite-3.1-1B-A400M", 1.335, 0.429, 0.378, 2.7, 2.5, 90.5, 3.0, 49'152, 50.00},
    {"Granite-3.1-3B-A800M", 3.299, 0.883, 0.807, 6.6, 6.1, 91.5, 4.5, 65'536, 33.33},
};

double digits(double value, int n) {
  const double unit = std::pow(10.0, n);
  return std::round(value * unit) / unit;
}

TEST(ModelFacts, OfKnownModelsToTheLastDigit) {
  EXPECT_EQ(std::size(kRows), known_models().size());
  for (const Row& row : kRows) {
    SCOPED_TRACE(row.model);
    const auto config = known_config(row.model);
    ASSERT_TRUE(config.ok()) << config.status();
    const ModelFacts facts = model_facts(*config);
    const auto parameters = static_cast<double>(facts.parameters);
    EXPECT_EQ(digits(parameters / 1e9, 3), row.total);
    EXPECT_EQ(digits(static_cast<double>(facts.active_with_embedding) / 1e9, 3), row.active);
    EXPECT_EQ(digits(static_cast<double>(facts.active_with_embedding - facts.embedding) / 1e9, 3),
              row.active_without_embedding);
    EXPECT_EQ(digits(2 * parameters / 1e9, 1), row.bf16_gb);
    EXPECT_EQ(digits(2 * parameters / (1 << 30), 1), row.bf16_gib);
    EXPECT_EQ(digits(100 * static_cast<double>(facts.routed) / parameters, 1), row.routed_percent);
    EXPECT_EQ(digits(2 * static_cast<double>(facts.expert_parameters) / (1 << 20), 1), row.expert_mib);
    EXPECT_EQ(2 * facts.kv_elements_per_token, row.kv_bytes);
    EXPECT_EQ(digits(100.0 * static_cast<double>(facts.kv_elements_per_token) /
                         static_cast<double>(facts.mha_elements_per_token),
                     2),
              row.kv_percent);
  }
}

TEST(ModelFacts, CountsEveryParameter) {
  EXPECT_EQ(model_facts(*known_config("Mixtral-8x7B")).parameters, 46'702'792'704);
  EXPECT_EQ(model_facts(*known_config("DeepSeek-V3")).parameters, 671'026'419'200);
}

// A Mixtral of 4 layers, hidden 128, 8 experts of 192 of which 2 are active, vocabulary 512.
TEST(ModelFacts, LeavesOutTheEmbeddingAndExpertsThatATokenDoesNotVisit) {
  const auto config = model::parse_config(*base::parse_json(
      R"({"architectures": ["MixtralForCausalLM"], "hidden_size": 128, "intermediate_size": 192,
          "max_position_embeddings": 256, "num_attention_heads": 4, "num_experts_per_tok": 2, "num_hidden_layers": 4,
          "num_key_value_heads": 2, "num_local_experts": 8, "rms_norm_eps": 1e-05, "rope_theta": 10000.0,
          "tie_word_embeddings": false, "vocab_size": 512})",
      {}));
  ASSERT_TRUE(config.ok()) << config.status();
  const ModelFacts facts = model_facts(*config);
  const int64_t expert = 3 * 128 * 192, layers = 4;
  EXPECT_EQ(facts.moe_layers, layers);
  EXPECT_EQ(facts.parameters - facts.active_parameters, layers * (8 - 2) * expert + 512 * 128);
}

TEST(KnownModels, AreFoundByNameAndRepository) {
  struct Case {
    const char *name, *found;  // null: not known
  };
  constexpr Case kCases[] = {
      {"mixtral-8x7b", "Mixtral-8x7B"},
      {"mistralai/Mixtral-8x7B-Instruct-v0.1", "Mixtral-8x7B"},
      {"Mixtral-8x7B-Instruct-v0.1", "Mixtral-8x7B"},
      {"mixtral-8x22b-instruct-v0.1", "Mixtral-8x22B-Instruct"},
      {"DeepSeek-R1", "DeepSeek-V3"},
      {"deepseek-moe-16b", "DeepSeek-MoE-16B"},
      {"dbrx", "DBRX"},
      {"someone/Mixtral-8x7B", nullptr},
      {"Qwen2.5-MoE-A14B", nullptr},
      {"", nullptr},
  };
  for (const Case& c : kCases) {
    SCOPED_TRACE(c.name);
    const KnownModel* found = find_known_model(c.name);
    ASSERT_EQ(found != nullptr, c.found != nullptr);
    if (found != nullptr) {
      EXPECT_EQ(found->name, c.found);
    }
  }
}

}  // namespace
}  // namespace polymath::plan
