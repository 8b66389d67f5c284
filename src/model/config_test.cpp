#include "model/config.h"

#include <gtest/gtest.h>

#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "layers/rope.h"
#include "model/architecture.h"
#include "model/loading/load.h"

namespace polymath::model {
namespace {

std::string mixtral(std::string_view extra) {
  return absl::StrCat(R"({"architectures": ["MixtralForCausalLM"], "hidden_size": 64, "vocab_size": 320,
    "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "num_local_experts": 8,
    "num_experts_per_tok": 2, "intermediate_size": 48, "max_position_embeddings": 2048)",
                      extra.empty() ? "" : ", ", std::string(extra), "}");
}

absl::StatusOr<ModelConfig> parse(const std::string& text) {
  ASSIGN_OR_RETURN(const auto json, base::parse_json(text, {.non_finite = true}));
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

const RopeConfig& rope_of(const absl::StatusOr<ModelConfig>& c, int layer = 0) {
  return std::get<GroupedQuery>(c->layers[layer].attention).rope;
}

TEST(Config, RopeIsReadWhereverItIsWritten) {
  const struct {
    std::string text;
    RopeConfig expected;
  } kCases[] = {
      {"", {.theta = 1e6}},
      {R"("rope_theta": 5e5)", {.theta = 5e5}},
      {R"("rope_scaling": {"rope_theta": 5e5})", {.theta = 5e5}},
      {R"("rope_theta": 7, "rope_parameters": {"rope_theta": 5e5})", {.theta = 5e5}},
      {R"("rope_scaling": {"type": "mrope", "mrope_section": [2, 3, 3]})", {.theta = 1e6}},
      {R"("rope_scaling": {"rope_theta": 5e5}, "rope_parameters": {"rope_theta": 3})", {.theta = 5e5}},
      {R"("rope_scaling": {}, "rope_parameters": {"rope_theta": 5e5})", {.theta = 5e5}},
      {R"("layer_types": ["full_attention", "full_attention"], "rope_parameters": {"full_attention": {"rope_theta": 5e5}})",
       {.theta = 5e5}},
      {R"("rope_scaling": {"type": "yarn", "original_max_position_embeddings": 512})",
       {.theta = 1e6, .scaling = RopeScaling::kYarn, .factor = 4, .original_len = 512}},
      {R"("rope_scaling": {"type": "yarn", "factor": null, "beta_fast": null}, "original_max_position_embeddings": 512)",
       {.theta = 1e6, .scaling = RopeScaling::kYarn, .factor = 4, .original_len = 512}},
      {R"("rope_scaling": {"type": "yarn", "factor": 8, "mscale": 1, "mscale_all_dim": 0.5, "truncate": false})",
       {.theta = 1e6,
        .scaling = RopeScaling::kYarn,
        .factor = 8,
        .original_len = 2048,
        .mscale = 1,
        .mscale_all_dim = 0.5,
        .truncate = false}},
  };
  for (const auto& c : kCases) {
    const auto got = parse(mixtral(c.text));
    ASSERT_TRUE(got.ok()) << c.text << ": " << got.status();
    RopeConfig expected = c.expected;
    expected.dims = 16;
    RopeConfig rope = rope_of(got);
    if (expected.scaling == RopeScaling::kNone) rope.original_len = 0, rope.factor = expected.factor;
    EXPECT_EQ(rope, expected) << c.text;
  }
}

std::string qwen3(std::string_view extra) {
  return absl::StrCat(R"({"architectures": ["Qwen3ForCausalLM"], "hidden_size": 64, "vocab_size": 320,
    "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16,
    "intermediate_size": 48, "use_sliding_window": true, )",
                      std::string(extra), "}");
}

TEST(Config, LayerTypesChooseWindowAndRope) {
  const auto c = parse(qwen3(R"("sliding_window": 8, "layer_types": ["sliding_attention", "full_attention"],
      "rope_parameters": {"full_attention": {"rope_theta": 5e5}, "sliding_attention": {"rope_theta": 1e4}})"));
  ASSERT_TRUE(c.ok()) << c.status();
  EXPECT_EQ(rope_of(c, 0).theta, 1e4);
  EXPECT_EQ(rope_of(c, 1).theta, 5e5);
  EXPECT_EQ(std::get<GroupedQuery>(c->layers[0].attention).window, 8);
  EXPECT_EQ(std::get<GroupedQuery>(c->layers[1].attention).window, 0);
  const auto by_number = parse(qwen3(R"("sliding_window": 8, "max_window_layers": 1)"));
  ASSERT_TRUE(by_number.ok()) << by_number.status();
  EXPECT_EQ(std::get<GroupedQuery>(by_number->layers[0].attention).window, 0);
  EXPECT_EQ(std::get<GroupedQuery>(by_number->layers[1].attention).window, 8);
}

TEST(Config, AbsentAndNullDiffer) {
  const std::string mistral = R"({"architectures": ["MistralForCausalLM"], "num_hidden_layers": 1)";
  const auto window = [](const absl::StatusOr<ModelConfig>& c) {
    return c.ok() ? std::get<GroupedQuery>(c->layers[0].attention).window : -1;
  };
  EXPECT_EQ(window(parse(mistral + "}")), 4096);
  EXPECT_EQ(window(parse(mistral + R"(, "sliding_window": null})")), 0);
}

TEST(Config, NamesThatLeadToAnArchitecture) {
  const struct {
    std::string named, expected;
  } kCases[] = {
      {R"("architectures": ["MyForCausalLM", "MixtralForCausalLM"])", "MixtralForCausalLM"},
      {R"("architectures": ["Qwen3MoeModel"])", "Qwen3MoeForCausalLM"},
      {R"("architectures": null, "model_type": "mixtral")", "MixtralForCausalLM"},
      {R"("architectures": [], "model_type": "llama4_text")", "Llama4ForCausalLM"},
      {R"("model_type": "granitemoeshared")", "GraniteMoeSharedForCausalLM"},
      {R"("architectures": ["Llama4ForConditionalGeneration"], "text_config": {})", "Llama4ForConditionalGeneration"},
      {R"("architectures": ["LlavaForConditionalGeneration"], "text_config": {"model_type": "mistral"})",
       "MistralForCausalLM"},
  };
  for (const auto& c : kCases) {
    const auto got = parse("{" + c.named + "}");
    ASSERT_TRUE(got.ok()) << c.named << ": " << got.status();
    EXPECT_EQ(got->architecture, c.expected) << c.named;
    EXPECT_NE(find_architecture(got->architecture), nullptr);
  }
}

TEST(Config, OfAMultimodalModelTheTextPartIsTaken) {
  const auto c = parse(R"({"architectures": ["Qwen3VLMoeForConditionalGeneration"], "tie_word_embeddings": true,
      "vision_config": {"depth": 1}, "image_token_id": 5, "eos_token_id": 7, "dtype": "float16",
      "text_config": {"hidden_size": 64, "head_dim": 16, "num_attention_heads": 4, "num_key_value_heads": 2,
                      "tie_word_embeddings": false}})");
  ASSERT_TRUE(c.ok()) << c.status();
  EXPECT_EQ(c->hidden, 64);
  EXPECT_TRUE(c->tied_embeddings);
  EXPECT_EQ(c->eos_ids, std::vector<int>{7});
  EXPECT_EQ(c->dtype, tensor::DType::kF16);
  EXPECT_EQ(c->left_out, "vision_config");
  EXPECT_EQ(rope_of(c).theta, 5e5);
  const auto unknown = parse(R"({"architectures": ["Qwen3VLMoeForConditionalGeneration"], "fuse_layers": 3,
      "text_config": {}})");
  EXPECT_NE(unknown.status().message().find("fuse_layers"), absl::string_view::npos) << unknown.status();
}

TEST(Config, ContextsThatAScaledRotationReaches) {
  const struct {
    std::string text;
    int expected;
  } kCases[] = {
      {"", 2048},
      {R"("rope_scaling": {"type": "linear", "factor": 4})", 8192},
      {R"("rope_scaling": {"type": "dynamic", "factor": 2})", 4096},
      {R"("rope_scaling": {"type": "yarn", "factor": 4, "original_max_position_embeddings": 1024})", 4096},
      {R"("rope_scaling": {"type": "yarn", "factor": 2, "original_max_position_embeddings": 512})", 2048},
      {R"("rope_scaling": {"type": "llama3", "factor": 8, "low_freq_factor": 1, "high_freq_factor": 4})", 2048},
  };
  for (const auto& c : kCases) {
    const auto got = parse(mixtral(c.text));
    ASSERT_TRUE(got.ok()) << c.text << ": " << got.status();
    EXPECT_EQ(got->model_len_max, c.expected) << c.text;
    EXPECT_EQ(got->positions_max, 2048);
  }
}

TEST(Config, WrittenByOtherTools) {
  const auto c =
      parse(mixtral(R"("tie_word_embeddings": 1, "torch_dtype": "torch.float16", "time_step_limit": [0, Infinity],
      "router_z": NaN, "unsloth_fixed": true, "_my_note": "x", "attn_dropout": 0.1, "sep_token_id": 4)"));
  ASSERT_TRUE(c.ok()) << c.status();
  EXPECT_TRUE(c->tied_embeddings);
  EXPECT_EQ(c->dtype, tensor::DType::kF16);
  EXPECT_EQ(parse(mixtral(R"("dtype": "float64")"))->dtype, tensor::DType::kF32);
}

TEST(Config, OverridesGoOverAndTakeAway) {
  auto config = base::parse_json(R"({"a": 1, "b": {"c": 2, "d": 3}, "e": 4})", {})->get_object();
  override_keys(config,
                base::parse_json(R"({"a": 5, "b": {"c": null, "f": 6}, "e": null, "g": null})", {})->get_object());
  EXPECT_EQ(base::to_text(config), R"({"a":5,"b":{"d":3,"f":6}})");
}

// Tables that contradict themselves would refuse or misread good configs.
TEST(Config, EveryTableIsSound) {
  for (const Architecture* a : architectures()) {
    SCOPED_TRACE(std::string(a->names[0]));
    EXPECT_FALSE(a->keys.model_types.empty());
    const auto defaults = base::parse_json(a->keys.defaults, {}), fixed = base::parse_json(a->keys.fixed, {});
    ASSERT_TRUE(defaults.ok() && fixed.ok());
    for (const KeyAlias& alias : a->keys.aliases) {
      EXPECT_FALSE(defaults->get_object().contains(std::string(alias.alias))) << alias.alias;
    }
    for (const std::string_view key : a->keys.harmless) {
      EXPECT_FALSE(defaults->get_object().contains(std::string(key))) << key;
      EXPECT_FALSE(fixed->get_object().contains(std::string(key))) << key;
    }
    base::JsonReader j(*defaults);
    j.read_as_config();
    a->parse(j);
    if (!j.status().ok()) continue;  // keys without a default
    EXPECT_TRUE(j.unread().empty()) << "a default that nothing reads: " << absl::StrJoin(j.unread(), ", ");
  }
}

TEST(Config, BadOnesAreRefusedByName) {
  const struct {
    std::string text, part;
    absl::StatusCode code;
  } kCases[] = {
      {R"({"architectures": ["FooForCausalLM"]})", "FooForCausalLM is not known; known are: MixtralForCausalLM",
       absl::StatusCode::kUnimplemented},
      {R"({"architectures": ["FooForCausalLM"], "model_type": "mixtral"})", "FooForCausalLM is not known",
       absl::StatusCode::kUnimplemented},
      {R"({"architectures": ["NemotronHForCausalLM"]})",
       "NemotronHForCausalLM is known, but the Mamba-2 layer is not built yet", absl::StatusCode::kUnimplemented},
      {R"({"architectures": ["Qwen3_5MoeForConditionalGeneration"], "text_config": {"model_type": "qwen3_5_moe_text"}})",
       "the gated delta net with separate projections", absl::StatusCode::kUnimplemented},
      {R"({"architectures": ["MistralParams"], "dim": 64, "n_layers": 2, "n_heads": 4, "hidden_dim": 32,
           "vocab_size": 64, "moe": {"num_experts": 4, "num_experts_per_tok": 2, "num_expert_groups": 2}})",
       "moe.num_expert_groups: only 1 is built", absl::StatusCode::kInvalidArgument},
      {R"({"model_type": "foo"})", "of the model_type foo is not known", absl::StatusCode::kUnimplemented},
      {R"({})", "none is named", absl::StatusCode::kUnimplemented},
      {R"([])", "must be an object", absl::StatusCode::kInvalidArgument},
      {mixtral(R"("hidden_size": null)"), "hidden_size: must not be null", absl::StatusCode::kInvalidArgument},
      {mixtral(R"("rms_norm_eps": Infinity)"), "rms_norm_eps: must be a number", absl::StatusCode::kInvalidArgument},
      {mixtral(R"("num_experts": 4)"), "num_local_experts: 8, but num_experts is 4",
       absl::StatusCode::kInvalidArgument},
      {mixtral(R"("use_magic": true)"), "use_magic: this key is not known for MixtralForCausalLM",
       absl::StatusCode::kUnimplemented},
      {mixtral(R"("use_magic": 0.5)"), "--hf-overrides '{\"use_magic\": null}'", absl::StatusCode::kUnimplemented},
      {mixtral(R"("a": 1, "b": 2, "c": 3, "d": 4, "e": 5, "f": 6, "g": 7, "h": 8, "i": 9)"),
       "a, b, c, d, e, f, g, h and 1 more: these keys are not known", absl::StatusCode::kUnimplemented},
      {mixtral(R"("rope_scaling": {"type": "linear", "factor": 2, "stretch": 3})"), "rope_scaling.stretch",
       absl::StatusCode::kUnimplemented},
      {mixtral(R"("rope_parameters": {"sliding_attention": {"rope_theta": 5}})"),
       "full_attention: there are no layer_types", absl::StatusCode::kInvalidArgument},
      {mixtral(R"("partial_rotary_factor": 0.5)"), "rotates whole heads", absl::StatusCode::kInvalidArgument},
      {mixtral(R"("layer_types": ["sliding_attention", "full_attention"])"), "layer_types",
       absl::StatusCode::kInvalidArgument},
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
      {mixtral(R"("text_config": {"hidden_size": 8})"), "text_config", absl::StatusCode::kUnimplemented},
      {mixtral(R"("hidden_act": "relu")"), "relu", absl::StatusCode::kUnimplemented},
      {mixtral(R"("quantization_config": {"quant_method": "awq"})"), "quantised by awq",
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
