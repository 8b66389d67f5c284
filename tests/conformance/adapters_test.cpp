// LoRA adapters of random weights, several in one batch, against a model whose weights have them merged in.

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <random>

#include "absl/strings/str_cat.h"
#include "runner.h"
#include "weights/model_files.h"

namespace polymath::conformance {
namespace {

constexpr int kRank = 3;
constexpr float kAlpha = 6;

struct Matrix {
  int64_t rows = 0, cols = 0;
  std::vector<float> values;
};

Matrix random_matrix(int64_t rows, int64_t cols, std::mt19937& random) {
  std::normal_distribution<float> normal(0, 0.2f);
  Matrix m{rows, cols, std::vector<float>(static_cast<size_t>(rows * cols))};
  for (float& v : m.values) v = normal(random);
  return m;
}

// The adapters' matrices by tensor of the model: A [rank, cols], B [rows, rank].
using Adapter = std::map<std::string, std::pair<Matrix, Matrix>>;

Adapter make_adapter(const weights::Checkpoint& model, const std::vector<std::string>& modules, unsigned seed) {
  std::mt19937 random(seed);
  Adapter out;
  for (const auto& t : model.tensors()) {
    for (const std::string& module : modules) {
      if (!t.name.ends_with(absl::StrCat("self_attn.", module, ".weight"))) continue;
      Matrix a = random_matrix(kRank, t.shape[1], random);
      out[t.name] = {std::move(a), random_matrix(t.shape[0], kRank, random)};
    }
  }
  return out;
}

void write_adapter(const std::filesystem::path& directory, const Adapter& adapter) {
  std::filesystem::create_directories(directory);
  std::ofstream(directory / "adapter_config.json")
      << absl::StrCat(R"({"peft_type": "LORA", "r": )", kRank, R"(, "lora_alpha": )", kAlpha, "}");
  std::string header, data;
  const auto add = [&](const std::string& name, const Matrix& m) {
    const size_t begin = data.size();
    data.append(reinterpret_cast<const char*>(m.values.data()), m.values.size() * sizeof(float));
    absl::StrAppend(&header, header.empty() ? "{" : ",", "\"", name, R"(":{"dtype":"F32","shape":[)", m.rows, ",",
                    m.cols, R"(],"data_offsets":[)", begin, ",", data.size(), "]}");
  };
  for (const auto& [tensor, ab] : adapter) {
    const std::string module = "base_model.model." + tensor.substr(0, tensor.size() - 7);
    add(module + ".lora_A.weight", ab.first);
    add(module + ".lora_B.weight", ab.second);
  }
  header += "}";
  const uint64_t n = header.size();
  std::ofstream out(directory / "adapter_model.safetensors", std::ios::binary);
  out.write(reinterpret_cast<const char*>(&n), sizeof(n));
  out << header << data;
}

// The model's checkpoint with an adapter added to its weights.
class Merged : public weights::Checkpoint {
 public:
  Merged(std::unique_ptr<weights::Checkpoint> base, const Adapter& adapter)
      : base_(std::move(base)), adapter_(adapter) {}
  std::span<const weights::TensorInfo> tensors() const override { return base_->tensors(); }
  bool has(std::string_view name) const override { return base_->has(name); }
  absl::StatusOr<weights::RawTensor> read(std::string_view name, const tensor::Shape& expected) override {
    ASSIGN_OR_RETURN(weights::RawTensor raw, base_->read(name, expected));
    const auto at = adapter_.find(std::string(name));
    if (at == adapter_.end()) return raw;
    const auto& [a, b] = at->second;
    std::vector<float>& values = values_[std::string(name)];
    values.resize(static_cast<size_t>(raw.shape.elements()));
    raw.format->dequantize({.data = raw.data}, 0, values.data(), raw.shape.elements());
    for (int64_t i = 0; i < b.rows; ++i) {
      for (int64_t c = 0; c < a.cols; ++c) {
        float sum = 0;
        for (int64_t r = 0; r < kRank; ++r) sum += b.values[i * kRank + r] * a.values[r * a.cols + c];
        values[static_cast<size_t>(i * a.cols + c)] += kAlpha / kRank * sum;
      }
    }
    return weights::RawTensor{tensor::DType::kF32, raw.shape, reinterpret_cast<const std::byte*>(values.data()),
                              &quant::kF32};
  }
  void prefetch(std::string_view) override {}
  void release(std::string_view name) override { base_->release(name); }

 private:
  std::unique_ptr<weights::Checkpoint> base_;
  const Adapter adapter_;
  std::map<std::string, std::vector<float>> values_;
};

struct Case {
  std::string model;
  std::vector<std::string> modules;
  std::string backend;
  int ranks;
  int stages = 1;
};

class Adapters : public testing::TestWithParam<Case> {};

TEST_P(Adapters, SeveralInABatchEqualMergedWeights) {
  const Case& c = GetParam();
  if (!backend::make_backend(c.backend, {.threads = 1}).ok()) GTEST_SKIP() << "no GPU";
  const auto files = *weights::open_model_files(model_directory(c.model));
  const model::ModelConfig config = *model::read_config(*files);
  const auto temporary =
      std::filesystem::temp_directory_path() /
      absl::StrCat("polymath_adapters_", ::getpid(), "_", c.model, c.backend, c.ranks, "_", c.stages);
  std::vector<Adapter> adapters;
  RunnerOptions options{.backend = c.backend, .threads = c.ranks * c.stages, .ranks = c.ranks, .stages = c.stages};
  for (const unsigned seed : {1u, 2u}) {
    adapters.push_back(make_adapter(**files->open_checkpoint(), c.modules, seed));
    ASSERT_FALSE(adapters.back().empty());
    options.adapters.push_back((temporary / absl::StrCat(seed)).string());
    write_adapter(options.adapters.back(), adapters.back());
  }
  const auto checkpoint = *files->open_checkpoint();
  auto runner = Runner::create(config, *checkpoint, options);
  ASSERT_TRUE(runner.ok()) << runner.status();
  const auto refs = *read_references(c.model, (*runner)->vocab());
  std::vector<Runner::Sequence> batch;
  for (const int adapter : {1, -1, 0}) batch.push_back({.tokens = refs[1].ids, .adapter = adapter});
  const auto together = (*runner)->step({&batch[0], &batch[1], &batch[2]}, 0);
  ASSERT_TRUE(together.ok()) << together.status();
  size_t row = 0;
  std::vector<float> base;
  for (const Runner::Sequence& s : batch) {
    Merged merged(*files->open_checkpoint(), s.adapter < 0 ? Adapter{} : adapters[static_cast<size_t>(s.adapter)]);
    auto alone = Runner::create(config, merged, {.backend = c.backend, .threads = 1});
    ASSERT_TRUE(alone.ok()) << alone.status();
    Runner::Sequence one{.tokens = s.tokens};
    const auto expected = (*alone)->step({&one}, 0);
    ASSERT_TRUE(expected.ok());
    double worst = 0, changed = 0;
    for (size_t i = 0; i < expected->size(); ++i) {
      worst = std::max<double>(worst, std::abs((*together)[row + i] - (*expected)[i]));
      changed = std::max<double>(changed, std::abs((*expected)[i] - refs[1].logits[i]));
    }
    row += expected->size();
    EXPECT_LT(worst, 2e-4) << "adapter " << s.adapter;
    EXPECT_TRUE(s.adapter < 0 || changed > 0.05) << "the adapter changes nothing";
  }
  std::filesystem::remove_all(temporary);
}

INSTANTIATE_TEST_SUITE_P(All, Adapters,
                         testing::Values(Case{"qwen3-moe", {"q_proj", "k_proj", "v_proj", "o_proj"}, "reference", 1},
                                         Case{"qwen3-moe", {"q_proj", "k_proj", "v_proj", "o_proj"}, "cpu", 1},
                                         Case{"qwen3-moe", {"q_proj", "v_proj"}, "cpu", 2},
                                         Case{"mixtral", {"k_proj", "o_proj"}, "cpu", 2},
                                         Case{"mixtral", {"k_proj", "o_proj"}, "cpu", 1, 2},
                                         Case{"qwen3-moe", {"q_proj", "v_proj"}, "cpu", 2, 2},
                                         Case{"deepseek-v2", {"q_proj", "kv_a_proj_with_mqa", "o_proj"}, "cpu", 1},
                                         Case{"qwen3-moe", {"q_proj", "k_proj", "v_proj", "o_proj"}, "cuda", 1}),
                         [](const auto& info) {
                           return absl::StrCat("case", info.index, "_", info.param.backend, info.param.ranks, "_",
                                               info.param.stages);
                         });

}  // namespace
}  // namespace polymath::conformance
