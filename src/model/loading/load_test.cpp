#include "model/loading/load.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "backend/reference/reference_backend.h"
#include "model/memory.h"

namespace polymath::model {
namespace {

const std::string kModels = std::string(POLYMATH_SOURCE_DIR) + "/tests/conformance/data/models/";

// A checkpoint with one tensor renamed, or (from "") one more.
class Renamed : public weights::Checkpoint {
 public:
  Renamed(std::unique_ptr<weights::Checkpoint> inner, std::string from, std::string to) : inner_(std::move(inner)) {
    for (auto info : inner_->tensors()) {
      if (info.name == from) info.name = to;
      infos_.push_back(info);
    }
    if (from.empty()) infos_.push_back(infos_.front());
    if (from.empty()) infos_.back().name = to;
    std::sort(infos_.begin(), infos_.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
  }
  std::span<const weights::TensorInfo> tensors() const override { return infos_; }
  bool has(std::string_view name) const override {
    return std::any_of(infos_.begin(), infos_.end(), [&](const auto& i) { return i.name == name; });
  }
  absl::StatusOr<weights::RawTensor> read(std::string_view name, const tensor::Shape& expected) override {
    return inner_->read(name, expected);
  }
  void prefetch(std::string_view) override {}
  void release(std::string_view) override {}

 private:
  std::unique_ptr<weights::Checkpoint> inner_;
  std::vector<weights::TensorInfo> infos_;
};

struct Loaded {
  std::unique_ptr<backend::Backend> backend = *backend::make_reference_backend({});
  absl::StatusOr<std::unique_ptr<Transformer>> model = absl::UnknownError("");
};

Loaded load(const std::string& name, const std::string& from, const std::string& to) {
  Loaded l;
  auto checkpoint = weights::open_checkpoint(kModels + name, {});
  EXPECT_TRUE(checkpoint.ok()) << checkpoint.status();
  Renamed renamed(*std::move(checkpoint), from, to);
  l.model = load_model(*read_config(*weights::open_directory(kModels + name)), renamed, *l.backend,
                       {.dtype = tensor::DType::kF32});
  return l;
}

struct NameCase {
  const char *what, *model, *from, *to;
  std::vector<const char*> said;  // parts of the refusal; empty: it loads
};

TEST(Load, NamesThatLackOrAreTooMany) {
  const NameCase kCases[] = {
      {"a tensor lacks: every name that was looked for, and what may be meant",
       "mixtral",
       "model.layers.1.block_sparse_moe.gate.weight",
       "model.layers.1.mystery",
       {"missing: model.layers.1.block_sparse_moe.gate.weight or model.layers.1.mlp.gate.weight or",
        "not used: model.layers.1.mystery"}},
      {"one expert lacks",
       "mixtral",
       "model.layers.1.block_sparse_moe.experts.2.w2.weight",
       "mystery",
       {"missing: model.layers.1.block_sparse_moe.experts.2.w2.weight;"}},
      {"scales of weights, unread",
       "mixtral",
       "",
       "model.layers.1.block_sparse_moe.gate.weight_scale",
       {"not used: model.layers.1.block_sparse_moe.gate.weight_scale;"}},
      {"scales of blocks, unread",
       "mixtral",
       "",
       "model.layers.1.block_sparse_moe.w1.weight_block_scale",
       {"not used: model.layers.1.block_sparse_moe.w1.weight_block_scale;"}},
      {"the layer past the last", "deepseek-v3", "", "model.layers.3.eh_proj.weight", {}},
      {"a kind of surplus that is known", "mixtral", "", "model.layers.1.self_attn.k_proj.k_scale", {}},
      {"another of that kind", "mixtral", "", "model.layers.1.self_attn.attn.prob_scale", {}},
      {"another surplus is a warning", "mixtral", "", "mystery", {}},
  };
  for (const NameCase& c : kCases) {
    SCOPED_TRACE(c.what);
    const auto l = load(c.model, c.from, c.to);
    EXPECT_EQ(l.model.ok(), c.said.empty()) << l.model.status();
    for (const char* part : c.said) {
      EXPECT_TRUE(absl::StrContains(l.model.status().message(), part)) << l.model.status();
    }
  }
}

TEST(Load, AConfigThatDisagreesWithTheFileIsRefusedWithBothShapes) {
  Loaded l;
  auto checkpoint = *weights::open_checkpoint(kModels + "mixtral", {});
  ModelConfig config = *read_config(*weights::open_directory(kModels + "mixtral"));
  config.vocab = 321;
  l.model = load_model(config, *checkpoint, *l.backend, {.dtype = tensor::DType::kF32});
  ASSERT_EQ(l.model.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_TRUE(absl::StrContains(l.model.status().message(), "321")) << l.model.status();
  EXPECT_TRUE(absl::StrContains(l.model.status().message(), "320")) << l.model.status();
}

// The bytes of weights that are planned, and then taken. -1: the load failed.
int64_t expect_planned_bytes(const ModelConfig& config, backend::Backend& backend, tensor::DType stored,
                             tensor::DType dtype) {
  SCOPED_TRACE(testing::Message() << tensor::dtype_name(stored) << " in " << tensor::dtype_name(dtype));
  auto checkpoint = weights::dummy_checkpoint(1, stored);
  const LoadOptions options{.dtype = dtype, .model_len = 64};
  const auto memory = RankMemory::measure({config, *checkpoint, options}, backend, {});
  EXPECT_TRUE(memory.ok()) << memory.status();
  const auto model = load_model(config, *checkpoint, backend, options);
  EXPECT_TRUE(model.ok()) << model.status();
  if (!memory.ok() || !model.ok()) return -1;
  EXPECT_EQ(memory->weights(), static_cast<int64_t>((*model)->weight_bytes()));
  return memory->weights();
}

// To the byte, on every backend of this machine, however the routers are stored.
TEST(Load, TakesTheBytesThatWerePlanned) {
  const auto json = base::parse_json(
      R"({"architectures": ["PolymathMoeForCausalLM"], "hidden_size": 64, "vocab_size": 64, "num_hidden_layers": 2,
          "num_attention_heads": 2, "moe_intermediate_size": 32, "shared_intermediate_size": 16,
          "routing": {"n_experts": 8, "name": "softmax_topk", "top_k": 2}})",
      {});
  const auto config = parse_config(*json);
  ASSERT_TRUE(config.ok()) << config.status();
  constexpr int64_t kRouterNumbers = 2 * 8 * 64;
  for (const char* name : {"reference", "cpu", "cuda"}) {
    auto backend = backend::make_backend(name, {.threads = 1});
    if (!backend.ok()) continue;
    SCOPED_TRACE(name);
    for (const auto dtype : {tensor::DType::kF32, tensor::DType::kF16, tensor::DType::kBf16}) {
      const int64_t planned_f32 = expect_planned_bytes(*config, **backend, tensor::DType::kF32, dtype);
      for (const auto stored : {tensor::DType::kF16, tensor::DType::kBf16}) {
        const bool halved =
            name == std::string_view("cuda") && stored == tensor::DType::kBf16 && dtype == tensor::DType::kBf16;
        EXPECT_EQ(planned_f32 - expect_planned_bytes(*config, **backend, stored, dtype),
                  halved ? 2 * kRouterNumbers : 0)
            << tensor::dtype_name(stored) << " in " << tensor::dtype_name(dtype);
      }
    }
  }
}

// A checkpoint whose tensors of a name that holds `part` are packed in Q8_0 as they are read.
class Packed : public weights::Checkpoint {
 public:
  Packed(std::unique_ptr<weights::Checkpoint> plain, std::string part)
      : plain_(std::move(plain)), part_(std::move(part)) {
    for (auto info : plain_->tensors()) {
      if (packs(info)) info.format = &kPacked;
      infos_.push_back(std::move(info));
    }
  }
  std::span<const weights::TensorInfo> tensors() const override { return infos_; }
  bool has(std::string_view name) const override { return plain_->has(name); }
  absl::StatusOr<weights::RawTensor> read(std::string_view name, const tensor::Shape& expected) override {
    ASSIGN_OR_RETURN(weights::RawTensor raw, plain_->read(name, expected));
    if (weights::stored_format(*this, name) != &kPacked) return raw;
    const int64_t n = expected.elements();
    std::vector<float> values(static_cast<size_t>(n));
    raw.format->dequantize({raw.data}, 0, values.data(), n);
    bytes_.resize(static_cast<size_t>(kPacked.bytes_of(n)));
    kPacked.quantize(values.data(), bytes_.data(), n);
    return weights::RawTensor{kPacked.dtype, expected, bytes_.data(), &kPacked};
  }
  void prefetch(std::string_view) override {}
  void release(std::string_view) override {}

  static inline const quant::QuantFormat& kPacked = *quant::find_format("q8_0");

 private:
  bool packs(const weights::TensorInfo& info) const {
    const int rank = info.shape.rank();
    return rank >= 2 && info.shape[rank - 1] % kPacked.block_cols == 0 && absl::StrContains(info.name, part_);
  }

  std::unique_ptr<weights::Checkpoint> plain_;
  std::vector<weights::TensorInfo> infos_;
  std::string part_;
  std::vector<std::byte> bytes_;
};

// Of mixtral's 4 layers: k_proj [32, 64] alone, or all matrices of q, k and v together.
TEST(Load, KeepsEachPieceOfASlotAsItIsStored) {
  const auto files = weights::open_directory(kModels + "mixtral");
  const ModelConfig config = *read_config(*files);
  for (const char* name : {"reference", "cpu"}) {
    auto backend = *backend::make_backend(name, {.threads = 1});
    const auto bytes = [&](const char* part) {
      Packed checkpoint(*files->open_checkpoint(), part);
      const LoadOptions options{.dtype = tensor::DType::kF32, .model_len = 64};
      const int64_t planned = RankMemory::measure({config, checkpoint, options}, *backend, {})->weights();
      const auto model = load_model(config, checkpoint, *backend, options);
      EXPECT_TRUE(model.ok()) << model.status();
      EXPECT_EQ(static_cast<int64_t>((*model)->weight_bytes()), planned);
      return planned;
    };
    const int64_t plain = bytes("no such tensor");
    EXPECT_LT(bytes("k_proj"), plain) << name;
    EXPECT_LT(bytes("_proj"), bytes("k_proj")) << name;
    EXPECT_EQ(bytes("block_sparse_moe.gate"), plain) << name;  // routers lose nothing
    EXPECT_LT(bytes("embed_tokens"), plain) << name;
  }
}

TEST(Load, UnpacksBlocksThatLieAcrossRows) {
  const auto files = weights::open_directory(kModels + "gpt-oss");
  const ModelConfig config = *read_config(*files);
  auto backend = *backend::make_reference_backend({});
  const LoadOptions options{.dtype = tensor::DType::kF32, .model_len = 64};
  Packed plain(*files->open_checkpoint(), "no such tensor");
  Packed across(*files->open_checkpoint(), "gate_up_proj");  // [experts, inputs, outputs]
  const auto stored = load_model(config, plain, *backend, options);
  const auto unpacked = load_model(config, across, *backend, options);
  ASSERT_TRUE(stored.ok() && unpacked.ok()) << stored.status() << unpacked.status();
  EXPECT_EQ((*unpacked)->weight_bytes(), (*stored)->weight_bytes());
}

// Every routing that is known runs in a model of our own config kind, on seeded random weights.
TEST(Load, EveryRoutingRunsInAPolymathMoe) {
  const char* const kRoutings[] = {
      R"("name": "softmax_topk", "top_k": 2, "normalize": true)",
      R"("name": "softmax_topk", "top_k": 2, "capacity_factor": 1.0)",
      R"("name": "topk_softmax", "top_k": 2)",
      R"("name": "softmax_group_topk", "top_k": 2, "n_groups": 4, "top_groups": 2)",
      R"("name": "sigmoid_group_topk", "top_k": 2, "n_groups": 4, "top_groups": 2, "selection_bias": true)",
      R"("name": "softmax_bias_topk", "top_k": 2, "selection_bias": true)",
      R"("name": "sigmoid_topk", "top_k": 1)",
      R"("name": "sparsemixer", "top_k": 2)",
      R"("name": "switch_top1", "top_k": 1, "capacity_factor": 1.25)",
      R"("name": "hash", "top_k": 2, "hash_seed": 7)",
      R"("name": "expert_choice", "capacity_factor": 2.0)",
      R"("name": "soft_moe", "slots": 2)",
  };
  for (const char* routing : kRoutings) {
    const auto json = base::parse_json(
        absl::StrCat(R"({"architectures": ["PolymathMoeForCausalLM"], "hidden_size": 32, "vocab_size": 64,
          "num_hidden_layers": 2, "num_attention_heads": 2, "moe_intermediate_size": 24, "shared_intermediate_size": 16,
          "routing": {"n_experts": 8, )",
                     routing, "}}"),
        {});
    const auto config = parse_config(*json);
    ASSERT_TRUE(config.ok()) << routing << ": " << config.status();
    auto backend = *backend::make_reference_backend({});
    auto checkpoint = weights::dummy_checkpoint(1, tensor::DType::kF32, 0.5f);
    const LoadOptions options{.dtype = tensor::DType::kF32, .model_len = 64};
    const auto memory = RankMemory::measure({*config, *checkpoint, options}, *backend, {});
    ASSERT_TRUE(memory.ok()) << routing << ": " << memory.status();
    auto model = load_model(*config, *checkpoint, *backend, options);
    ASSERT_TRUE(model.ok()) << routing << ": " << model.status();
    const backend::StepLimits limits{.tokens_max = 16, .seqs_max = 1, .blocks_max = 2};
    ASSERT_TRUE((*model)->reserve(limits).ok());
    EXPECT_EQ(memory->weights(), static_cast<int64_t>((*model)->weight_bytes())) << routing;
    EXPECT_EQ(memory->scratch(limits), static_cast<int64_t>((*model)->scratch_bytes())) << routing;
    ASSERT_TRUE((*model)->make_cache({16, {tensor::DType::kF32, {}}, 2}).ok());
    const std::vector<int32_t> ids = {3, 1, 4, 1, 5}, positions = {0, 1, 2, 3, 4}, start = {0, 5}, len = {5},
                               table = {1, 0};
    const std::vector<int32_t> slots = {16, 17, 18, 19, 20}, rows = {4};
    const auto logits = (*model)->forward({ids, positions, slots, start, len, table, 2, rows});
    ASSERT_TRUE(logits.ok());
    ASSERT_EQ(logits->rows(), 1);
    float sum = 0;
    for (int i = 0; i < 64; ++i) sum += std::abs(logits->f32()[i]);
    EXPECT_TRUE(std::isfinite(sum) && sum > 0) << routing;
    int64_t pairs = 0;
    for (const auto& load : (*model)->expert_load()) {
      for (const int64_t n : load.pairs) pairs += n;
    }
    EXPECT_GT(pairs, 0) << routing;
  }
}

}  // namespace
}  // namespace polymath::model
