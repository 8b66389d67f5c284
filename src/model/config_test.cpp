#include "model/config.h"

#include <gtest/gtest.h>

#include <cmath>

#include "absl/strings/str_cat.h"
#include "layers/rope.h"
#include "model/load.h"

namespace polymath::model {
namespace {

std::string mixtral(std::string_view extra) {
  return absl::StrCat(R"({"architectures": ["MixtralForCausalLM"], "hidden_size": 64, "vocab_size": 320,
    "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "num_local_experts": 8,
    "num_experts_per_tok": 2, "intermediate_size": 48, "max_position_embeddings": 2048)",
                      extra.empty() ? "" : ", ", std::string(extra), "}");
}

absl::StatusOr<ModelConfig> parse(const std::string& text) {
  ASSIGN_OR_RETURN(const auto json, base::parse_json(text, {}));
  return parse_config(json);
}

TEST(Config, OldAndNewKeysReadAlike) {
  const auto old_keys = parse(mixtral(R"("rope_theta": 500000, "torch_dtype": "float16",
      "rope_scaling": {"type": "linear", "factor": 4})"));
  const auto new_keys = parse(mixtral(R"("dtype": "float16",
      "rope_parameters": {"rope_type": "linear", "rope_theta": 500000, "factor": 4})"));
  ASSERT_TRUE(old_keys.ok()) << old_keys.status();
  ASSERT_TRUE(new_keys.ok()) << new_keys.status();
  EXPECT_EQ(std::get<GroupedQuery>(old_keys->layers[0].attention).rope,
            std::get<GroupedQuery>(new_keys->layers[0].attention).rope);
  EXPECT_EQ(old_keys->dtype, tensor::DType::kF16);
  EXPECT_EQ(new_keys->dtype, tensor::DType::kF16);
}

TEST(Config, DefaultsOfMixtral) {
  const auto c = parse(mixtral(""));
  ASSERT_TRUE(c.ok()) << c.status();
  EXPECT_EQ(std::get<GroupedQuery>(c->layers[1].attention).head_dim, 16);
  EXPECT_EQ(std::get<GroupedQuery>(c->layers[1].attention).rope.theta, 1e6);
  EXPECT_EQ(std::get<GroupedQuery>(c->layers[1].attention).window, 0);
  EXPECT_TRUE(c->layers[1].ffns[0].router.normalize);
  EXPECT_EQ(c->dtype, tensor::DType::kBf16);
}

TEST(Config, BadOnesAreRefusedByName) {
  const struct {
    std::string text, part;
    absl::StatusCode code;
  } kCases[] = {
      {R"({"architectures": ["FooForCausalLM"]})", "FooForCausalLM is not known; known are: MixtralForCausalLM",
       absl::StatusCode::kUnimplemented},
      {R"({})", "none is named", absl::StatusCode::kUnimplemented},
      {R"([])", "must be an object", absl::StatusCode::kInvalidArgument},
      {R"({"architectures": ["MixtralForCausalLM"]})", "hidden_size: missing", absl::StatusCode::kInvalidArgument},
      {mixtral(R"("hidden_size": "64")"), "hidden_size: must be an integer", absl::StatusCode::kInvalidArgument},
      {mixtral(R"("hidden_size": -64)"), "", absl::StatusCode::kInvalidArgument},
      {mixtral(R"("num_hidden_layers": 1000000000)"), "num_hidden_layers", absl::StatusCode::kInvalidArgument},
      {mixtral(R"("num_attention_heads": 0)"), "num_attention_heads", absl::StatusCode::kInvalidArgument},
      {mixtral(R"("num_key_value_heads": 3)"), "do not divide", absl::StatusCode::kInvalidArgument},
      {mixtral(R"("num_experts_per_tok": 9)"), "experts of a token", absl::StatusCode::kInvalidArgument},
      {mixtral(R"("num_local_experts": 99999999)"), "number of experts", absl::StatusCode::kInvalidArgument},
      {mixtral(R"("intermediate_size": 99999999)"), "width", absl::StatusCode::kInvalidArgument},
      {mixtral(R"("rope_theta": 0)"), "rope_theta", absl::StatusCode::kInvalidArgument},
      {mixtral(R"("rope_scaling": {"type": "magic"})"), "magic", absl::StatusCode::kInvalidArgument},
      {mixtral(R"("rope_scaling": {"type": "longrope", "short_factor": [1], "long_factor": [1]})"), "longrope",
       absl::StatusCode::kInvalidArgument},
      {mixtral(R"("dtype": "int32")"), "dtype", absl::StatusCode::kInvalidArgument},
      {mixtral(R"("hidden_act": "relu")"), "relu", absl::StatusCode::kUnimplemented},
      {mixtral(R"("quantization_config": {"quant_method": "awq"})"), "quantization_config",
       absl::StatusCode::kUnimplemented},
  };
  for (const auto& c : kCases) {
    const auto got = parse(c.text);
    EXPECT_EQ(got.status().code(), c.code) << c.text << ": " << got.status();
    EXPECT_NE(got.status().message().find(c.part), absl::string_view::npos) << got.status();
  }
}

TEST(Rope, ScalingsFollowTheirFormulas) {
  RopeConfig r{.theta = 10000, .dims = 8};
  const auto plain = layers::rope_frequencies(r, 2048, 2048);
  EXPECT_DOUBLE_EQ(plain[0], 1);
  EXPECT_NEAR(plain[3], std::pow(10000, -0.75), 1e-12);
  r.scaling = RopeScaling::kLinear;
  r.factor = 4;
  EXPECT_DOUBLE_EQ(layers::rope_frequencies(r, 2048, 2048)[0], 0.25);
  r.scaling = RopeScaling::kDynamic;  // up to the trained length nothing changes
  EXPECT_EQ(layers::rope_frequencies(r, 2048, 2048), plain);
  EXPECT_LT(layers::rope_frequencies(r, 8192, 2048)[3], plain[3]);
  r.scaling = RopeScaling::kLongRope;
  r.original_len = 1024;
  r.short_factor = {1, 1, 1, 1};
  r.long_factor = {2, 2, 2, 2};
  EXPECT_EQ(layers::rope_frequencies(r, 1024, 4096), plain);
  EXPECT_DOUBLE_EQ(layers::rope_frequencies(r, 4096, 4096)[0], 0.5);
  EXPECT_NEAR(layers::rope_attention_factor(r, 4096, 4096), std::sqrt(1 + std::log(4.0) / std::log(1024.0)), 1e-12);
  r.scaling = RopeScaling::kYarn;
  EXPECT_NEAR(layers::rope_attention_factor(r, 4096, 4096), 0.1 * std::log(4.0) + 1, 1e-12);
  EXPECT_DOUBLE_EQ(layers::rope_frequencies(r, 4096, 4096)[0], 1);  // the fastest pair is never stretched
}

}  // namespace
}  // namespace polymath::model
