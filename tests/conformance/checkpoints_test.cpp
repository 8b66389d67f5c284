// The conformance models as other writers store them: transformers 5's stacked experts, wrappers' prefixes, surplus
// tensors, heads beside tied embeddings. The weights are the same, so the logits are, to the bit.

#include <gtest/gtest.h>

#include <cstring>
#include <functional>
#include <map>
#include <regex>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "runner.h"

namespace polymath::conformance {
namespace {

struct Stored {
  tensor::Shape shape;
  const quant::QuantFormat* format = nullptr;
  std::vector<std::byte> bytes;
};
using Tensors = std::map<std::string, Stored>;

class MemoryCheckpoint : public weights::Checkpoint {
 public:
  explicit MemoryCheckpoint(Tensors tensors) : tensors_(std::move(tensors)) {
    for (const auto& [name, t] : tensors_) {
      infos_.push_back({name, t.format->dtype, t.shape, t.bytes.size(), "(memory)", t.format});
    }
  }
  std::span<const weights::TensorInfo> tensors() const override { return infos_; }
  bool has(std::string_view name) const override { return tensors_.contains(std::string(name)); }
  absl::StatusOr<weights::RawTensor> read(std::string_view name, const tensor::Shape& expected) override {
    const auto at = tensors_.find(std::string(name));
    if (at == tensors_.end()) return absl::NotFoundError(std::string(name));
    if (!(at->second.shape == expected)) return absl::InvalidArgumentError(absl::StrCat(at->first, ": its shape"));
    return weights::RawTensor{at->second.format->dtype, expected, at->second.bytes.data(), at->second.format};
  }
  void prefetch(std::string_view) override {}
  void release(std::string_view) override {}

 private:
  const Tensors tensors_;
  std::vector<weights::TensorInfo> infos_;
};

Tensors read_model(const std::string& model) {
  const auto checkpoint = weights::open_checkpoint(model_directory(model), {});
  EXPECT_TRUE(checkpoint.ok()) << checkpoint.status();
  Tensors out;
  for (const weights::TensorInfo& info : (*checkpoint)->tensors()) {
    const auto raw = (*checkpoint)->read(info.name, info.shape);
    EXPECT_TRUE(raw.ok()) << raw.status();
    out[info.name] = {info.shape, info.format, {raw->data, raw->data + info.bytes}};
  }
  return out;
}

using Step = std::function<void(Tensors&)>;

Step rename(const std::string& pattern, const std::string& to) {
  return [=](Tensors& tensors) {
    Tensors out;
    for (auto& [name, t] : tensors) out[std::regex_replace(name, std::regex(pattern), to)] = std::move(t);
    tensors = std::move(out);
  };
}

// Joins what each expert has in `parts`, side by side: "x.{e}.w1.weight" and "x.{e}.w3.weight" become "x.<to>".
Step stack(const std::string& experts, const std::vector<std::string>& parts, const std::string& to) {
  return [=](Tensors& tensors) {
    const std::regex first("(.*" + experts + "\\.)0\\." + parts[0]);
    std::vector<std::string> places;
    for (const auto& [name, t] : tensors) {
      if (std::smatch m; std::regex_match(name, m, first)) places.push_back(m[1]);
    }
    for (const std::string& place : places) {
      Stored all;
      int64_t n = 0, rows = 0, cols = 0;
      for (; tensors.contains(absl::StrCat(place, n, ".", parts[0])); ++n) {
        rows = 0;
        for (const std::string& part : parts) {
          const auto at = tensors.find(absl::StrCat(place, n, ".", part));
          ASSERT_NE(at, tensors.end());
          rows += at->second.shape[0];
          cols = at->second.shape[1];
          all.format = at->second.format;
          all.bytes.insert(all.bytes.end(), at->second.bytes.begin(), at->second.bytes.end());
          tensors.erase(at);
        }
      }
      all.shape = {n, rows, cols};
      tensors[place + to] = std::move(all);
    }
  };
}

// Of the matrices whose names end so, each [n, rows, cols] becomes [n, cols, rows].
Step transpose(const std::string& ending) {
  return [=](Tensors& tensors) {
    for (auto& [name, t] : tensors) {
      if (!name.ends_with(ending)) continue;
      const int64_t n = t.shape[0], rows = t.shape[1], cols = t.shape[2], size = t.format->block_bytes;
      std::vector<std::byte> out(t.bytes.size());
      for (int64_t i = 0; i < n * rows * cols; ++i) {
        const int64_t g = i / (rows * cols), r = i / cols % rows, c = i % cols;
        std::memcpy(&out[static_cast<size_t>((g * rows * cols + c * rows + r) * size)],
                    &t.bytes[static_cast<size_t>(i * size)], static_cast<size_t>(size));
      }
      t.bytes = std::move(out);
      t.shape = {n, cols, rows};
    }
  };
}

Step widen(const std::string& ending) {
  return [=](Tensors& tensors) {
    for (auto& [name, t] : tensors) {
      if (!name.ends_with(ending)) continue;
      const int64_t n = t.shape.elements();
      std::vector<float> values(static_cast<size_t>(n));
      t.format->dequantize({t.bytes.data()}, 0, values.data(), n);
      t.bytes.resize(static_cast<size_t>(n) * sizeof(double));
      t.format = &quant::kF64;
      t.format->quantize(values.data(), t.bytes.data(), n);
    }
  };
}

Step add(const std::vector<std::string>& names) {
  return [=](Tensors& tensors) {
    for (const std::string& name : names) tensors[name] = {{1}, &quant::kF32, std::vector<std::byte>(4)};
  };
}

struct StoredCase {
  std::string what, model;
  std::vector<Step> steps;
};

// transformers 5's conversion_mapping.py, by class.
std::vector<Step> stacked(const std::string& experts) {
  return {stack(experts, {"gate_proj.weight", "up_proj.weight"}, "gate_up_proj"),
          stack(experts, {"down_proj.weight"}, "down_proj")};
}

std::vector<Step> mixtral_style(const std::string& router) {
  return {stack("experts", {"w1.weight", "w3.weight"}, "gate_up_proj"), stack("experts", {"w2.weight"}, "down_proj"),
          rename("block_sparse_moe\\.gate", "mlp." + router), rename("block_sparse_moe", "mlp")};
}

std::vector<StoredCase> layouts() {
  const std::vector<Step> granite = {rename("input_linear\\.weight", "experts.gate_up_proj"),
                                     rename("(block_sparse_moe)\\.output_linear\\.weight", "$1.experts.down_proj"),
                                     rename("router\\.layer\\.weight", "router.weight"),
                                     rename("shared_mlp\\.experts\\.gate_up_proj", "shared_mlp.input_linear.weight")};
  std::vector<StoredCase> cases = {
      {"stacked", "mixtral", mixtral_style("gate")},
      {"stacked", "phimoe", mixtral_style("router")},
      {"stacked", "granitemoe", granite},
      {"stacked", "granitemoeshared", granite},
  };
  const std::vector<Step> bias_in_gate = {rename("mlp\\.(e_score_correction_bias)", "mlp.gate.$1")};
  const std::vector<Step> hy = {rename("mlp\\.router\\.gate", "mlp.gate"),
                                rename("mlp\\.expert_bias", "mlp.e_score_correction_bias"),
                                rename("mlp\\.shared_mlp", "mlp.shared_experts")};
  cases.push_back({"stacked", "minimax-m2", mixtral_style("gate")});
  cases.push_back({"renamed", "exaone-moe", bias_in_gate});
  cases.push_back({"renamed", "hy-v3", hy});
  for (const char* model : {"afmoe", "bailing-moe", "bailing-moe-v2", "dots1", "exaone-moe", "glm4-moe-lite", "hy-v3",
                            "kimi-k25", "mellum", "mistral4", "solar-open"}) {
    cases.push_back({"stacked", model, stacked("experts")});
  }
  for (const char* model : {"qwen2-moe", "qwen2-moe-sparse-step", "qwen3-moe", "qwen3-next", "olmoe", "deepseek-moe",
                            "deepseek-v2", "deepseek-v3", "glm4-moe", "ernie4_5-moe", "hunyuan-moe"}) {
    cases.push_back({"stacked", model, stacked("experts")});
  }
  std::vector<Step> transposed = stacked("experts");
  transposed.push_back(transpose("experts.gate_up_proj"));
  transposed.push_back(transpose("experts.down_proj"));
  cases.push_back({"stacked and transposed, as Qwen3-VL's", "qwen3-moe", transposed});
  std::vector<Step> ernie = stacked("experts");
  ernie.push_back(rename("mlp\\.moe_statics", "mlp.gate.moe_statics"));
  cases.push_back({"stacked, bias in the gate", "ernie4_5-moe", ernie});
  cases.push_back({"doubles", "olmoe", {widen("q_proj.weight"), widen("norm.weight"), widen("up_proj.weight")}});
  return cases;
}

std::vector<StoredCase> surroundings() {
  std::vector<StoredCase> cases;
  for (const char* prefix : {"model.language_model.", "language_model.", "llm.model.", "model.text_model.",
                             "thinker.model.", "thinker.model.language_model.", ""}) {
    cases.push_back({absl::StrCat("prefix ", prefix), "qwen3-moe", {rename("^model\\.", prefix)}});
  }
  const std::vector<std::string> vision = {"model.visual.blocks.0.attn.qkv.weight",
                                           "vision_model.model.layers.0.mlp.fc1.weight", "model.norm.weight2"};
  for (const char* outer : {"language_model.", "thinker.", "model.language_model."}) {
    cases.push_back({absl::StrCat("all under ", outer), "deepseek-v2", {rename("^", outer), add(vision)}});
    cases.push_back({absl::StrCat("DBRX under ", outer), "dbrx", {rename("^", outer)}});
  }
  cases.push_back({"a base model alone", "granitemoe", {rename("^model\\.", "")}});
  cases.push_back({"only the head is stored", "granitemoe", {rename("^model\\.embed_tokens", "lm_head")}});
  cases.push_back({"only the head is stored, in a wrapper",
                   "granitemoe",
                   {rename("^model\\.embed_tokens", "lm_head"), rename("^", "language_model.")}});
  cases.push_back({"surplus",
                   "mixtral",
                   {add({"model.layers.0.self_attn.rotary_emb.inv_freq", "model.layers.1.self_attn.k_proj.k_scale",
                         "v_head.summary.weight", "model.layers.4.enorm.weight", "model.layers.99.mlp.up_proj.weight",
                         "mtp.fc.weight", "buf"})}});
  return cases;
}

// The prompts, each in one step.
std::vector<float> all_logits(Runner& runner, const std::string& model) {
  const auto references = read_references(model, runner.vocab());
  EXPECT_TRUE(references.ok()) << references.status();
  std::vector<float> out;
  for (const Reference& r : *references) {
    Runner::Sequence s{r.ids};
    const auto rows = runner.step({&s}, 0);
    EXPECT_TRUE(rows.ok()) << rows.status();
    out.insert(out.end(), rows->begin(), rows->end());
  }
  return out;
}

absl::StatusOr<std::unique_ptr<Runner>> run(model::ModelConfig config, Tensors tensors, const RunnerOptions& options) {
  MemoryCheckpoint checkpoint(std::move(tensors));
  RETURN_IF_ERROR(model::untie_stored_head(checkpoint, config));
  return Runner::create(config, checkpoint, options);
}

model::ModelConfig config_of(const std::string& model) {
  auto config = model::read_config(*weights::open_directory(model_directory(model)));
  EXPECT_TRUE(config.ok()) << config.status();
  return *std::move(config);
}

void expect_same(const std::vector<StoredCase>& cases, const RunnerOptions& options) {
  for (const StoredCase& c : cases) {
    SCOPED_TRACE(c.model + ": " + c.what);
    Tensors tensors = read_model(c.model), before = tensors;
    for (const Step& step : c.steps) step(tensors);
    const auto names = [](const Tensors& all) {
      std::vector<std::string> out;
      for (const auto& [name, t] : all) out.push_back(absl::StrCat(name, t.shape.text(), std::string(t.format->name)));
      return out;
    };
    EXPECT_NE(names(tensors), names(before));
    const auto expected = run(config_of(c.model), before, options), got = run(config_of(c.model), tensors, options);
    ASSERT_TRUE(expected.ok()) << expected.status();
    ASSERT_TRUE(got.ok()) << got.status();
    EXPECT_EQ(all_logits(**got, c.model), all_logits(**expected, c.model));
  }
}

TEST(StoredLayouts, GiveTheSameLogits) { expect_same(layouts(), {.backend = "cpu"}); }

// Experts half as wide as the model: a stacked gate_up is square, and only down tells its layout.
TEST(StoredLayouts, OfSquareGateAndUp) {
  const int half = 32;
  const Step cut = [=](Tensors& tensors) {
    for (auto& [name, t] : tensors) {
      const bool down = name.ends_with("down_proj.weight");
      if (name.find(".experts.") == std::string::npos) continue;
      const int64_t rows = down ? t.shape[0] : half, cols = down ? half : t.shape[1];
      const auto width = static_cast<size_t>(t.format->block_bytes);
      std::vector<std::byte> out;
      for (int64_t r = 0; r < rows; ++r) {
        const std::byte* row = t.bytes.data() + static_cast<size_t>(r * t.shape[1]) * width;
        out.insert(out.end(), row, row + static_cast<size_t>(cols) * width);
      }
      t.bytes = std::move(out);
      t.shape = {rows, cols};
    }
  };
  model::ModelConfig config = config_of("qwen3-moe");
  ASSERT_EQ(config.hidden, 2 * half);
  for (auto& layer : config.layers) layer.ffns[0].intermediate = half;
  Tensors apart = read_model("qwen3-moe");
  cut(apart);
  Tensors together = apart;
  for (const Step& step : stacked("experts")) step(together);
  Tensors transposed = together;
  for (const char* ending : {"experts.gate_up_proj", "experts.down_proj"}) transpose(ending)(transposed);
  const auto expected = run(config, apart, {.backend = "cpu"});
  ASSERT_TRUE(expected.ok()) << expected.status();
  for (const Tensors& tensors : {together, transposed}) {
    const auto got = run(config, tensors, {.backend = "cpu"});
    ASSERT_TRUE(got.ok()) << got.status();
    EXPECT_EQ(all_logits(**got, "qwen3-moe"), all_logits(**expected, "qwen3-moe"));
  }
}

// Stacked experts are split between ranks, by features or whole.
TEST(StoredLayouts, OfTwoRanks) {
  const std::vector<StoredCase> cases = {{"stacked", "mixtral", mixtral_style("gate")},
                                         {"stacked", "deepseek-v2", stacked("experts")}};
  for (const bool whole : {false, true}) expect_same(cases, {.backend = "cpu", .ranks = 2, .whole_experts = whole});
}

TEST(StoredNames, GiveTheSameLogits) { expect_same(surroundings(), {.backend = "cpu"}); }

// mixtral's head is not its embedding. A config that says so is wrong, and the stored head counts.
TEST(StoredHead, UntiesTheConfig) {
  const RunnerOptions options{.backend = "cpu"};
  model::ModelConfig config = config_of("mixtral");
  const auto expected = run(config, read_model("mixtral"), options);
  config.tied_embeddings = true;
  const auto got = run(config, read_model("mixtral"), options);
  ASSERT_TRUE(expected.ok() && got.ok()) << got.status();
  EXPECT_EQ(all_logits(**got, "mixtral"), all_logits(**expected, "mixtral"));
}

TEST(StoredHead, ThatIsTheEmbeddingTakesNoMemory) {
  const RunnerOptions options{.backend = "cpu"};
  Tensors twice = read_model("granitemoe");
  twice["lm_head.weight"] = twice.at("model.embed_tokens.weight");
  const auto expected = run(config_of("granitemoe"), read_model("granitemoe"), options);
  const auto got = run(config_of("granitemoe"), twice, options);
  ASSERT_TRUE(expected.ok() && got.ok()) << got.status();
  EXPECT_EQ((*got)->model().weight_bytes(), (*expected)->model().weight_bytes());
  EXPECT_EQ(all_logits(**got, "granitemoe"), all_logits(**expected, "granitemoe"));
}

}  // namespace
}  // namespace polymath::conformance
