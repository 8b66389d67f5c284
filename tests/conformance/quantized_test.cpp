// Models in Hugging Face's quantisation schemes (tools/make_quantized.py), kept packed: the model of the unpacked
// values.

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "runner.h"
#include "unpacked.h"

namespace polymath::conformance {
namespace {

std::string directory(const std::string& name) { return model_directory("../quantized/") + name; }

struct Case {
  std::string name, backend, isa;
};
void PrintTo(const Case& c, std::ostream* out) { *out << c.name << " " << c.backend << " " << c.isa; }

std::vector<Case> cases() {
  std::vector<std::pair<std::string, std::string>> devices = {{"reference", ""}};
  for (const char* isa : {"portable", "avx2", "avx512", "amx"}) {
    if (backend::make_backend("cpu", {.threads = 1, .isa = isa}).ok()) devices.emplace_back("cpu", isa);
  }
  if (backend::make_backend("cuda", {.threads = 1}).ok()) devices.emplace_back("cuda", "");
  std::vector<Case> out;
  for (const auto& entry : std::filesystem::directory_iterator(directory(""))) {
    for (const auto& [backend, isa] : devices) out.push_back({entry.path().filename().string(), backend, isa});
  }
  std::sort(out.begin(), out.end(), [](const Case& a, const Case& b) { return a.name < b.name; });
  return out;
}

class Quantized : public testing::TestWithParam<Case> {
 protected:
  RunnerOptions options(tensor::DType dtype) const {
    return {.backend = GetParam().backend, .isa = GetParam().isa, .dtype = dtype};
  }
  static std::vector<float> logits(absl::StatusOr<std::unique_ptr<Runner>> runner) {
    EXPECT_TRUE(runner.ok()) << runner.status();
    if (!runner.ok()) return {};
    Runner::Sequence s{{5, 17, 3, 40, 21, 8, 8, 33, 12}};
    const auto rows = (*runner)->step({&s}, 0);
    EXPECT_TRUE(rows.ok()) << rows.status();
    return rows.ok() ? *rows : std::vector<float>{};
  }
  std::vector<float> unpacked_logits(tensor::DType dtype) const {
    const auto files = weights::open_model_files(directory(GetParam().name));
    auto checkpoint = (*files)->open_checkpoint();
    EXPECT_TRUE(checkpoint.ok()) << checkpoint.status();
    if (!checkpoint.ok()) return {};
    Unpacked unpacked(*std::move(checkpoint));
    return logits(Runner::create(*model::read_config(**files), unpacked, options(dtype)));
  }
};

INSTANTIATE_TEST_SUITE_P(All, Quantized, testing::ValuesIn(cases()), [](const auto& info) {
  std::string name = info.param.name + "_" + info.param.backend + info.param.isa;
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
});

double relative_error(const std::vector<float>& got, const std::vector<float>& expected) {
  double difference = 0, norm = 0;
  for (size_t i = 0; i < got.size(); ++i) {
    difference += std::pow(got[i] - expected[i], 2);
    norm += std::pow(expected[i], 2);
  }
  return std::sqrt(difference / norm);
}

TEST_P(Quantized, InFloat32IsTheModelOfTheUnpackedValues) {
  const auto packed = logits(Runner::create(directory(GetParam().name), options(tensor::DType::kF32)));
  const auto plain = unpacked_logits(tensor::DType::kF32);
  ASSERT_EQ(packed.size(), plain.size());
  ASSERT_FALSE(packed.empty());
  float largest = 0;
  for (size_t i = 0; i < packed.size(); ++i) {
    ASSERT_NEAR(packed[i], plain[i], 1e-3) << i;
    largest = std::max(largest, std::abs(plain[i]));
  }
  EXPECT_GT(largest, 0.05f);
}

// In bfloat16 activations are rounded, some to int8; packed weights are not.
TEST_P(Quantized, RunsWithBfloat16Activations) {
  const auto rounded = logits(Runner::create(directory(GetParam().name), options(tensor::DType::kBf16)));
  const auto plain = unpacked_logits(tensor::DType::kF32);
  ASSERT_EQ(rounded.size(), plain.size());
  EXPECT_LT(relative_error(rounded, plain), 0.15);
}

// The experts of gpt-oss lie transposed where they are not MXFP4, gate and up side by side either way.
class Transposed : public Unpacked {
 public:
  explicit Transposed(std::unique_ptr<weights::Checkpoint> packed) : Unpacked(std::move(packed)) {
    for (weights::TensorInfo info : Unpacked::tensors()) {
      if (is_expert(info.name)) {
        info.name.resize(info.name.size() - kEnding.size());
        info.shape = {info.shape[0], info.shape[2], info.shape[1]};
      }
      infos_.push_back(std::move(info));
    }
    std::sort(infos_.begin(), infos_.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
  }
  std::span<const weights::TensorInfo> tensors() const override { return infos_; }
  bool has(std::string_view name) const override { return weights::find_tensor(*this, name) != nullptr; }
  absl::StatusOr<weights::RawTensor> read(std::string_view name, const tensor::Shape& shape) override {
    const std::string blocks = std::string(name) + std::string(kEnding);
    if (!is_expert(blocks) || !Unpacked::has(blocks)) return Unpacked::read(name, shape);
    ASSIGN_OR_RETURN(const weights::RawTensor raw, Unpacked::read(blocks, {shape[0], shape[2], shape[1]}));
    std::vector<float>& out = transposed_[blocks];
    out.clear();
    const auto* in = reinterpret_cast<const float*>(raw.data);
    for (int64_t e = 0; e < shape[0]; ++e) {
      for (int64_t c = 0; c < shape[1]; ++c) {
        for (int64_t r = 0; r < shape[2]; ++r) out.push_back(in[(e * shape[2] + r) * shape[1] + c]);
      }
    }
    return weights::RawTensor{tensor::DType::kF32, shape, reinterpret_cast<const std::byte*>(out.data()), &quant::kF32};
  }

 private:
  static constexpr std::string_view kEnding = "_blocks";
  static bool is_expert(std::string_view name) { return name.ends_with("proj_blocks"); }
  std::vector<weights::TensorInfo> infos_;
  std::map<std::string, std::vector<float>> transposed_;
};

TEST(QuantizedGptOss, IsTheModelOfItsPlainExperts) {
  const RunnerOptions options{.backend = "reference", .dtype = tensor::DType::kF32};
  const auto files = weights::open_model_files(directory("gpt-oss-mxfp4"));
  Transposed plain(*(*files)->open_checkpoint());
  auto expected = Runner::create(*model::read_config(**files), plain, options);
  auto got = Runner::create(directory("gpt-oss-mxfp4"), options);
  ASSERT_TRUE(expected.ok()) << expected.status();
  ASSERT_TRUE(got.ok()) << got.status();
  Runner::Sequence a{{5, 17, 3, 140, 21}}, b = a;
  EXPECT_EQ(*(*got)->step({&a}, 0), *(*expected)->step({&b}, 0));
}

// Two ranks cut the experts' blocks between them.
TEST(QuantizedGptOss, IsTheSameInTwoRanks) {
  for (const char* backend : {"reference", "cpu"}) {
    const RunnerOptions one{.backend = backend, .dtype = tensor::DType::kF32};
    RunnerOptions two = one;
    two.ranks = 2;
    auto whole = Runner::create(directory("gpt-oss-mxfp4"), one), cut = Runner::create(directory("gpt-oss-mxfp4"), two);
    ASSERT_TRUE(whole.ok()) << whole.status();
    ASSERT_TRUE(cut.ok()) << cut.status();
    Runner::Sequence a{{5, 17, 3, 140, 21}}, b = a;
    const auto expected = *(*whole)->step({&a}, 0), got = *(*cut)->step({&b}, 0);
    for (size_t i = 0; i < got.size(); ++i) ASSERT_NEAR(got[i], expected[i], 1e-3) << i;
  }
}

// A plain checkpoint whose linear layers and experts went through a format, where their rows are whole blocks.
class Rounded : public weights::Checkpoint {
 public:
  Rounded(std::unique_ptr<weights::Checkpoint> plain, const quant::QuantFormat& format)
      : plain_(std::move(plain)), format_(format) {
    for (weights::TensorInfo info : plain_->tensors()) {
      if (is_rounded(info)) info.format = &quant::kF32;
      infos_.push_back(std::move(info));
    }
  }
  std::span<const weights::TensorInfo> tensors() const override { return infos_; }
  bool has(std::string_view name) const override { return plain_->has(name); }
  absl::StatusOr<weights::RawTensor> read(std::string_view name, const tensor::Shape& shape) override {
    ASSIGN_OR_RETURN(const weights::RawTensor raw, plain_->read(name, shape));
    if (!is_rounded(*weights::find_tensor(*plain_, name))) return raw;
    const int64_t n = shape.elements();
    std::vector<float>& values = values_[std::string(name)];
    values.resize(static_cast<size_t>(n));
    std::vector<std::byte> packed(static_cast<size_t>(format_.bytes_of(n)));
    raw.format->dequantize({raw.data}, 0, values.data(), n);
    format_.quantize(values.data(), packed.data(), n);
    format_.dequantize({packed.data()}, 0, values.data(), n);
    return weights::RawTensor{tensor::DType::kF32, shape, reinterpret_cast<const std::byte*>(values.data()),
                              &quant::kF32};
  }
  void prefetch(std::string_view) override {}
  void release(std::string_view) override {}

 private:
  bool is_rounded(const weights::TensorInfo& info) const {
    const bool layers = info.name.find("layers.") != std::string::npos && info.name.find(".gate.") == std::string::npos;
    return layers && info.shape.rank() == 2 && info.shape[1] % format_.block_cols == 0;
  }
  std::unique_ptr<weights::Checkpoint> plain_;
  const quant::QuantFormat& format_;
  std::vector<weights::TensorInfo> infos_;
  std::map<std::string, std::vector<float>> values_;
};

// --quantization: mixtral's experts have rows of 48 in `down`, which stay plain.
TEST(PackedAtLoad, IsTheModelOfTheRoundedValues) {
  const auto files = weights::open_model_files(model_directory("mixtral"));
  for (const char* name : {"q8_0", "int8_g32", "fp8_g32", "mxfp4"}) {
    for (const char* backend : {"reference", "cpu"}) {
      RunnerOptions options{.backend = backend, .dtype = tensor::DType::kF32};
      Rounded rounded(*(*files)->open_checkpoint(), *quant::find_format(name));
      auto expected = Runner::create(*model::read_config(**files), rounded, options);
      options.pack_to = {quant::find_format(name)};
      auto packed = Runner::create(model_directory("mixtral"), options);
      ASSERT_TRUE(expected.ok() && packed.ok()) << packed.status();
      EXPECT_LT((*packed)->model().weight_bytes(), (*expected)->model().weight_bytes());
      Runner::Sequence a{{5, 17, 3, 140, 21, 60, 7, 7, 300}}, b = a;
      const auto got = *(*packed)->step({&a}, 0), plain = *(*expected)->step({&b}, 0);
      for (size_t i = 0; i < got.size(); ++i) ASSERT_NEAR(got[i], plain[i], 1e-3) << name << " on " << backend;
    }
  }
}

}  // namespace
}  // namespace polymath::conformance
