#include "model/config.h"

#include <gtest/gtest.h>

#include <algorithm>
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

int window_of(const absl::StatusOr<ModelConfig>& c, int layer) {
  return std::get<GroupedQuery>(c->layers[layer].attention).window;
}

// Only Qwen's classes have the switch.
TEST(Config, UseSlidingWindowIsOfTheClassesThatHaveIt) {
  const struct {
    std::string architecture, more;
    int layer, expected;
  } kCases[] = {
      {"MixtralForCausalLM", "", 0, 8},
      {"MistralForCausalLM", "", 0, 8},
      {"Ministral3ForCausalLM", "", 0, 8},
      {"PhimoeForCausalLM", "", 0, 8},
      {"GptOssForCausalLM", "", 0, 8},
      {"Dots1ForCausalLM", R"(, "max_window_layers": 1, "num_experts_per_tok": 2, "n_routed_experts": 4,
           "n_shared_experts": 1)",
       1, 8},
      {"Qwen2ForCausalLM", R"(, "max_window_layers": 1)", 1, 0},
      {"Qwen3ForCausalLM", R"(, "max_window_layers": 1)", 1, 0},
      {"Qwen2MoeForCausalLM", R"(, "max_window_layers": 1)", 0, 0},
      {"Qwen3MoeForCausalLM", "", 0, 0},
      {"Qwen2VLForConditionalGeneration", R"(, "max_window_layers": 1)", 1, 0},
  };
  for (const auto& c : kCases) {
    const auto got = parse(absl::StrCat(R"({"architectures": [")", c.architecture,
                                        R"("], "sliding_window": 8, "use_sliding_window": false)", c.more, "}"));
    ASSERT_TRUE(got.ok()) << c.architecture << ": " << got.status();
    EXPECT_EQ(window_of(got, c.layer), c.expected) << c.architecture;
  }
}

// transformers 4 wrote these keys for any class.
TEST(Config, KeysOfWindowsAreHarmlessWhereTheClassHasNone) {
  constexpr const char* kNames[] = {
      "DbrxForCausalLM",         "DeepseekV3ForCausalLM", "Ernie4_5_MoeForCausalLM",
      "Glm4MoeLiteForCausalLM",  "GraniteMoeForCausalLM", "HYV3ForCausalLM",
      "HunYuanMoEV1ForCausalLM", "Llama4ForCausalLM",     "LlamaForCausalLM",
      "MiniMaxM2ForCausalLM",    "Mistral4ForCausalLM",   "OlmoeForCausalLM",
      "Qwen3NextForCausalLM",    "SolarOpenForCausalLM",  "Qwen3VLForConditionalGeneration",
      "BailingMoeV2ForCausalLM"};
  for (const std::string name : kNames) {
    const auto got = parse(absl::StrCat(R"({"architectures": [")", name, R"("], "sliding_window": 8,
        "use_sliding_window": true, "max_window_layers": 1})"));
    ASSERT_TRUE(got.ok()) << name << ": " << got.status();
    const auto* attention = std::get_if<GroupedQuery>(&got->layers[1].attention);
    EXPECT_TRUE(attention == nullptr || attention->window == 0) << name;
  }
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
      {R"("architectures": ["Kimi_K25ForConditionalGeneration"], "text_config": {})", "DeepseekV3ForCausalLM"},
      {R"("model_type": "mistral3", "text_config": {"model_type": "mistral"})", "MistralForCausalLM"},
      {R"("architectures": null, "model_type": "llava_next", "text_config": {})", "LlamaForCausalLM"},
      {R"("model_type": "internvl", "text_config": {"architectures": []})", "Qwen2ForCausalLM"},
      {R"("model_type": "kimi_k25", "text_config": {"model_type": "kimi_k2"})", "DeepseekV3ForCausalLM"},
      {R"("model_type": "glm4v_moe", "text_config": {"head_dim": 128})", "Glm4vMoeForConditionalGeneration"},
      {R"("architectures": ["LlavaModel"], "text_config": {"model_type": "qwen3"})", "Qwen3ForCausalLM"},
      {R"("architectures": ["Qwen3VLMoeModel"], "text_config": {})", "Qwen3VLMoeForConditionalGeneration"},
      {R"("architectures": ["Qwen3VLMoeTextModel"])", "Qwen3VLMoeForConditionalGeneration"},
      {R"("architectures": ["Llama4TextModel"])", "Llama4ForCausalLM"},
      {R"("architectures": ["Glm4vMoeModel"], "text_config": {"head_dim": 128})", "Glm4vMoeForConditionalGeneration"},
      {R"("architectures": ["Glm4vMoeTextModel"], "head_dim": 128)", "Glm4vMoeForConditionalGeneration"},
      {R"("architectures": ["Qwen3OmniMoeThinkerTextModel"], "head_dim": 128)",
       "Qwen3OmniMoeThinkerForConditionalGeneration"},
      {R"("model_type": "qwen3_omni_moe", "thinker_config": {"text_config": {"head_dim": 128}})",
       "Qwen3OmniMoeForConditionalGeneration"},
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

TEST(Config, TiesOfAMultimodalModel) {
  const struct {
    std::string model_type, top, text;
    bool expected;
  } kCases[] = {
      {"qwen3_vl_moe", "false", "true", false}, {"qwen3_vl_moe", "null", "true", true},
      {"llama4", "false", "true", false},       {"voxtral", "true", "false", true},
      {"glm4v_moe", "false", "true", true},     {"qwen2_vl", "false", "true", true},
      {"qwen2_5_vl", "true", "false", true},    {"llava", "false", "true", true},
      {"llava", "false", "null", false},        {"llava_next", "false", "true", false},
      {"internvl", "null", "false", true},      {"mistral3", "null", "null", true},
      {"kimi_k25", "null", "null", true},       {"kimi_k25", "false", "null", false},
  };
  for (const auto& c : kCases) {
    const auto got = parse(absl::StrCat(R"({"model_type": ")", c.model_type, R"(", "tie_word_embeddings": )", c.top,
                                        R"(, "text_config": {"head_dim": 128, "tie_word_embeddings": )", c.text, "}}"));
    ASSERT_TRUE(got.ok()) << c.model_type << ": " << got.status();
    EXPECT_EQ(got->tied_embeddings, c.expected) << c.model_type << " " << c.top << " " << c.text;
  }
}

TEST(Config, KeysBesideTheText) {
  const auto omni = parse(R"({"architectures": ["Qwen3OmniMoeForConditionalGeneration"], "dtype": "float16",
      "enable_audio_output": true, "talker_config": {"a": 1}, "thinker_config": {"position_id_per_seconds": 13,
      "audio_config": {"b": 2}, "text_config": {"num_hidden_layers": 3, "head_dim": 128}}})");
  ASSERT_TRUE(omni.ok()) << omni.status();
  EXPECT_EQ(omni->layers.size(), 3u);
  EXPECT_EQ(omni->dtype, tensor::DType::kF16);
  EXPECT_EQ(omni->left_out, "audio_config, talker_config");
  EXPECT_EQ(rope_of(omni).theta, 1e6);
  const auto voxtral = parse(R"({"model_type": "voxtral", "hidden_size": 3072, "text_config": {"hidden_size": 64}})");
  ASSERT_TRUE(voxtral.ok()) << voxtral.status();
  EXPECT_EQ(voxtral->hidden, 64);
  EXPECT_EQ(rope_of(voxtral).theta, 1e8);
  for (const char* key : {"image_grid_pinpoints", "projector_layernorm_eps", "projection_hidden_size"}) {
    const auto got = parse(absl::StrCat(R"({"model_type": "llava", "text_config": {}, ")", key, R"(": 1})"));
    EXPECT_TRUE(got.ok()) << got.status();
  }
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

std::string of(std::string_view architecture, std::string_view keys) {
  return absl::StrCat(R"({"architectures": [")", std::string(architecture), R"("], "num_hidden_layers": 2, )",
                      std::string(keys), "}");
}

// Each key is obeyed by one class, and by no other.
TEST(Config, RotationsOfOneClassAlone) {
  constexpr std::string_view kAlpha = R"("rope_scaling": {"type": "dynamic", "factor": 2, "alpha": 8}, "head_dim": 16)";
  const auto hunyuan = parse(of("HunYuanMoEV1ForCausalLM", kAlpha));
  ASSERT_TRUE(hunyuan.ok()) << hunyuan.status();
  EXPECT_EQ(rope_of(hunyuan).scaling, RopeScaling::kNone);
  EXPECT_NEAR(rope_of(hunyuan).theta, 1e4 * std::pow(8, 16 / 14.0), 1);
  const auto none = parse(of("HunYuanMoEV1ForCausalLM", R"("rope_scaling": {"type": "dynamic", "factor": 2,
      "alpha": 0})"));
  ASSERT_TRUE(none.ok()) << none.status();
  EXPECT_EQ(rope_of(none).scaling, RopeScaling::kDynamic);
  const auto llama = parse(of("LlamaForCausalLM", kAlpha));
  EXPECT_NE(llama.status().message().find("rope_scaling.alpha"), absl::string_view::npos) << llama.status();
  // By layer type, truncate is beside the types.
  const std::string yarn = R"({"rope_type": "yarn", "rope_theta": 1e4, "factor": 4,
      "original_max_position_embeddings": 512)";
  const auto nested = [&](const std::string& inner, const std::string& outer) {
    return of("GptOssForCausalLM", absl::StrCat(R"("rope_parameters": {"full_attention": )", yarn, inner,
                                                R"(}, "sliding_attention": )", yarn, inner, "}", outer, "}"));
  };
  const auto beside = parse(nested("", R"(, "truncate": false)"));
  ASSERT_TRUE(beside.ok()) << beside.status();
  EXPECT_FALSE(rope_of(beside).truncate);
  EXPECT_TRUE(rope_of(parse(nested("", ""))).truncate);
  const auto inside = parse(nested(R"(, "truncate": false)", ""));
  EXPECT_NE(inside.status().message().find("read beside the layer types"), absl::string_view::npos);
}

TEST(Config, LayerTypesHaveOlderNames) {
  const auto qwen = parse(of("Qwen3NextForCausalLM", R"("layer_types": ["linear_attention", "attention"])"));
  ASSERT_TRUE(qwen.ok()) << qwen.status();
  EXPECT_TRUE(std::holds_alternative<GroupedQuery>(qwen->layers[1].attention));
  EXPECT_TRUE(parse(of("MixtralForCausalLM", R"("layer_types": ["attention", "attention"])")).ok());
  const auto odd = parse(of("Qwen3NextForCausalLM", R"("layer_types": ["sliding_attention", "full_attention"])"));
  EXPECT_NE(odd.status().message().find("\"sliding_attention\" is not built"), absl::string_view::npos);
}

// EXAONE-MoE leaves the rotation out of full layers beside sliding ones alone; AFMoE of every full layer.
TEST(Config, FullLayersOfModelsWithoutWindows) {
  constexpr std::string_view kFull = R"("sliding_window": null, "layer_types": ["full_attention", "full_attention"])";
  const auto exaone = parse(of("ExaoneMoeForCausalLM", kFull));
  ASSERT_TRUE(exaone.ok()) << exaone.status();
  EXPECT_EQ(rope_of(exaone, 1).dims, 128);
  EXPECT_EQ(window_of(exaone, 1), 0);
  const auto mixed = parse(
      of("ExaoneMoeForCausalLM", R"("sliding_window": null, "layer_types": ["sliding_attention", "full_attention"])"));
  EXPECT_NE(mixed.status().message().find("layer_types"), absl::string_view::npos) << mixed.status();
  EXPECT_FALSE(parse(of("AfmoeForCausalLM", kFull)).ok());
}

// Latents' norms have an epsilon of their own, but in Mistral's format.
TEST(Config, EpsilonOfLatents) {
  const auto deepseek = parse(of("DeepseekV3ForCausalLM", R"("rms_norm_eps": 0.01)"));
  ASSERT_TRUE(deepseek.ok()) << deepseek.status();
  EXPECT_EQ(deepseek->norm_eps, 0.01f);
  EXPECT_EQ(std::get<Latent>(deepseek->layers[0].attention).norm_eps, 1e-6f);
  const auto mistral = parse(R"({"architectures": ["MistralParams"], "dim": 64, "n_layers": 1, "n_heads": 4,
      "hidden_dim": 32, "vocab_size": 64, "norm_eps": 0.01, "kv_lora_rank": 16, "qk_nope_head_dim": 8,
      "qk_rope_head_dim": 8, "v_head_dim": 8})");
  ASSERT_TRUE(mistral.ok()) << mistral.status();
  EXPECT_EQ(std::get<Latent>(mistral->layers[0].attention).norm_eps, 0.01f);
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
      {R"({"architectures": ["Ernie4_5_VL_MoeForConditionalGeneration"], "text_config": {}})",
       "experts of text beside experts of images", absl::StatusCode::kUnimplemented},
      {R"({"architectures": ["LlavaForConditionalGeneration"]})", "text_config: missing",
       absl::StatusCode::kInvalidArgument},
      {R"({"architectures": ["Qwen3OmniMoeForConditionalGeneration"], "thinker_config": {}})", "text_config: missing",
       absl::StatusCode::kInvalidArgument},
      {R"({"architectures": ["LlavaForConditionalGeneration"], "text_config": {"model_type": "gemma2"}})",
       "of the model_type gemma2 is not known", absl::StatusCode::kUnimplemented},
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
      {of("HunYuanMoEV1ForCausalLM", R"("norm_topk_prob": false)"), "norm_topk_prob", absl::StatusCode::kUnimplemented},
      {of("HunYuanMoEV1ForCausalLM", R"("use_qk_norm": false)"), "use_qk_norm", absl::StatusCode::kUnimplemented},
      {of("HunYuanMoEV1ForCausalLM", R"("num_shared_expert": 65536, "intermediate_size": 65536)"),
       "num_shared_expert: the shared experts are too wide together", absl::StatusCode::kInvalidArgument},
      {of("DeepseekV3ForCausalLM", R"("n_shared_experts": 65536, "moe_intermediate_size": 65536)"),
       "n_shared_experts: the shared experts are too wide together", absl::StatusCode::kInvalidArgument},
      {of("DeepseekV3ForCausalLM", R"("qk_nope_head_dim": 2147483647)"), "qk_nope_head_dim: must be in [0, 65536]",
       absl::StatusCode::kInvalidArgument},
      {of("Ernie4_5_MoeForCausalLM", R"("moe_num_shared_experts": 65536, "moe_intermediate_size": 65536)"),
       "moe_num_shared_experts: the shared experts are too wide together", absl::StatusCode::kInvalidArgument},
      {of("Glm4vMoeForConditionalGeneration", R"("head_dim": 128, "use_qk_norm": true)"), "use_qk_norm",
       absl::StatusCode::kUnimplemented},
      {of("Glm4MoeForCausalLM", R"("partial_rotary_factor": 1e300)"), "partial_rotary_factor: must be above 0",
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
      {mixtral(R"("quantization_config": {"quant_method": "quip"})"), "quantised by \"quip\"",
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
