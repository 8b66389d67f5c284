#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <vector>

#include "base/json.h"
#include "base/read_file.h"
#include "commands/quantize/calibrate.h"
#include "commands/quantize/directory_plan.h"
#include "commands/quantize/linear_tensors.h"
#include "commands/quantize/quantize.h"
#include "weights/model_files.h"
#include "weights/safetensors.h"

namespace polymath::commands {
namespace {

namespace fs = std::filesystem;

const std::string kDemo = std::string(POLYMATH_SOURCE_DIR) + "/models/polymath-demo";
const std::string kModels = std::string(POLYMATH_SOURCE_DIR) + "/tests/conformance/data/models/";
constexpr size_t kMatrices = 7 * (4 + 8 * 3);  // of the demo model

std::string place(const std::string& name) {
  const std::string path = testing::TempDir() + "quantize_directory_" + name;
  fs::remove_all(path);
  return path;
}

Options options_of(const std::string& in, const std::string& out, const std::string& format) {
  Options options;
  options.model.name = in;
  options.quantize = {.out = out, .format = format};
  options.runtime.threads = 1;  // others wait for a thread that a busy machine holds up
  return options;
}

absl::Status quantized(const Options& options) {
  testing::internal::CaptureStdout();
  const absl::Status status = quantize_model(options);
  testing::internal::GetCapturedStdout();
  return status;
}

base::JsonValue config_of(const std::string& directory) {
  return *base::parse_json(*base::read_file(directory + "/config.json", 1 << 20), {});
}

std::vector<float> values_of(weights::Checkpoint& checkpoint, const weights::TensorInfo& info) {
  const auto raw = checkpoint.read(info.name, info.shape);
  EXPECT_TRUE(raw.ok()) << raw.status();
  std::vector<float> out(static_cast<size_t>(info.shape.elements()));
  raw->format->dequantize({raw->data}, 0, out.data(), info.shape.elements());
  return out;
}

double relative_error(const std::vector<float>& exact, const std::vector<float>& packed) {
  double error = 0, squares = 0;
  for (size_t i = 0; i < exact.size(); ++i) {
    error += std::pow(static_cast<double>(packed[i]) - exact[i], 2);
    squares += std::pow(static_cast<double>(exact[i]), 2);
  }
  return std::sqrt(error / squares);
}

struct Case {
  const char *format, *scheme;
  double error_max;  // of a matrix, relative to its size
};
constexpr Case kCases[] = {{"fp8", "fp8 e4m3, blocks of 128x128", 0.028},
                           {"int4", "compressed-tensors int4, groups of 32", 0.1}};

TEST(QuantizeDirectory, TheDemoModelReadsBack) {
  const auto plain = weights::open_directory(kDemo)->open_checkpoint();
  ASSERT_TRUE(plain.ok()) << plain.status();
  for (const Case& c : kCases) {
    const std::string out = place(c.format);
    Options options = options_of(kDemo, out, c.format);
    options.runtime.threads = 2;
    const absl::Status status = quantized(options);
    ASSERT_TRUE(status.ok()) << status;
    const auto packed = weights::open_directory(out)->open_checkpoint();
    ASSERT_TRUE(packed.ok()) << packed.status();
    ASSERT_EQ((*packed)->tensors().size(), (*plain)->tensors().size());
    size_t matrices = 0;
    for (size_t i = 0; i < (*plain)->tensors().size(); ++i) {
      const weights::TensorInfo &before = (*plain)->tensors()[i], &after = (*packed)->tensors()[i];
      ASSERT_EQ(after.name, before.name);
      ASSERT_EQ(after.shape, before.shape);
      const double error = relative_error(values_of(**plain, before), values_of(**packed, after));
      EXPECT_LE(error, after.scheme.empty() ? 0 : c.error_max) << after.name;
      if (!after.scheme.empty()) {
        EXPECT_EQ(after.scheme, c.scheme);
      }
      matrices += after.scheme.empty() ? 0 : 1;
    }
    EXPECT_EQ(matrices, kMatrices);
    EXPECT_FALSE(fs::exists(out + ".part"));
  }
}

// Stacked, transposed and joined experts, latent attention, several files.
TEST(QuantizeDirectory, OtherArchitecturesReadBack) {
  for (const std::string name : {"gpt-oss", "granitemoe", "dbrx", "deepseek-v2", "qwen3-moe"}) {
    const std::string in = kModels + name, out = place(name);
    const absl::Status status = quantized(options_of(in, out, "fp8"));
    ASSERT_TRUE(status.ok()) << status;
    const auto plain = weights::open_directory(in)->open_checkpoint();
    const auto packed = weights::open_directory(out)->open_checkpoint();
    ASSERT_TRUE(packed.ok()) << packed.status();
    size_t n_packed = 0;
    for (const weights::TensorInfo& info : (*plain)->tensors()) {
      const weights::TensorInfo* after = weights::find_tensor(**packed, info.name);
      ASSERT_NE(after, nullptr) << info.name;
      const double error = relative_error(values_of(**plain, info), values_of(**packed, *after));
      EXPECT_LE(error, after->scheme.empty() ? 0 : kCases[0].error_max) << name << " " << info.name;
      n_packed += after->scheme.empty() ? 0 : 1;
    }
    EXPECT_GT(n_packed, 10u) << name;
  }
  const std::string latent = place("latent");
  EXPECT_TRUE(quantized(options_of(kModels + "deepseek-v2", latent, "int4")).ok());
  const std::string left_out = base::to_text(config_of(latent).at("quantization_config").at("ignore"));
  EXPECT_NE(left_out.find("layers.0.self_attn.kv_b_proj"), std::string::npos) << left_out;
  const absl::Status stacked = quantized(options_of(kModels + "gpt-oss", place("stacked"), "int4"));
  EXPECT_EQ(stacked.code(), absl::StatusCode::kUnimplemented);
  EXPECT_NE(stacked.message().find("experts.down_proj"), std::string::npos) << stacked;
  EXPECT_EQ(quantized(options_of(kModels + "mixtral-params", place("params"), "fp8")).code(),
            absl::StatusCode::kNotFound);
}

TEST(QuantizeDirectory, ConfigSaysTheSchemeAndTheRestIsCopied) {
  const std::string fp8 = place("config_fp8"), int4 = place("config_int4");
  ASSERT_TRUE(quantized(options_of(kDemo, fp8 + "/", "fp8")).ok());
  ASSERT_TRUE(quantized(options_of(kDemo, int4, "int4")).ok());
  base::JsonObject config = config_of(fp8).get_object();
  const base::JsonObject scheme = config.at("quantization_config").get_object();
  EXPECT_EQ(scheme.at("weight_block_size"), (base::JsonArray{128, 128}));
  base::JsonArray left_out{"model.embed_tokens"};
  for (int l = 0; l < 7; ++l)
    left_out.push_back(boost::json::string("model.layers." + std::to_string(l) + ".block_sparse_moe.gate"));
  left_out.push_back("lm_head");
  EXPECT_EQ(scheme.at("modules_to_not_convert"), left_out);
  const auto weights = config_of(int4).at("quantization_config").at("config_groups").at("group_0").at("weights");
  EXPECT_EQ(weights.at("group_size"), 32);  // experts have 96 inputs
  EXPECT_EQ(config_of(int4).at("quantization_config").at("ignore"), left_out);
  config.erase("quantization_config");
  EXPECT_EQ(config, config_of(kDemo).get_object());
  for (const char* name : {"tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "generation_config.json"})
    EXPECT_EQ(*base::read_file(fp8 + "/" + name, 1 << 20), *base::read_file(kDemo + "/" + name, 1 << 20)) << name;
}

TEST(QuantizeDirectory, LargeModelsAreSharded) {
  const auto files = weights::open_directory(kDemo);
  const auto stored = weights::open_stored(kDemo, {});
  ASSERT_TRUE(stored.ok()) << stored.status();
  const auto matrices = linear_tensors(*files, **stored);
  ASSERT_TRUE(matrices.ok()) << matrices.status();
  EXPECT_EQ(matrices->size(), kMatrices);
  constexpr uint64_t kMost = 2'000'000;
  const auto plan = plan_directory(**stored, *matrices, *find_scheme_writer("fp8"), kMost);
  ASSERT_TRUE(plan.ok()) << plan.status();
  ASSERT_EQ(plan->files.size(), 4u);
  EXPECT_EQ(plan->files[1].name, "model-00002-of-00004.safetensors");
  size_t parts = 0;
  for (const PlannedFile& file : plan->files) {
    EXPECT_LE(file.bytes, kMost + file.header.size());
    for (const PlannedTensor& t : file.tensors) parts += t.parts.size();
  }
  const base::JsonObject index = plan->index();
  EXPECT_EQ(index.at("weight_map").get_object().size(), parts);
  EXPECT_EQ(index.at("weight_map").at("model.layers.6.self_attn.v_proj.weight_scale_inv"), plan->files[3].name.c_str());
}

// Matrices that share their input share its importance. An expert's differs from the next one's.
TEST(QuantizeDirectory, CalibrationSeesEachMatrix) {
  Options options = options_of(kDemo, place("calibrated"), "int4");
  options.quantize.calibrate = kDemo + "/../README.md";  // long enough for every expert
  const auto importance = calibrated(options);
  ASSERT_TRUE(importance.ok()) << importance.status();
  EXPECT_EQ(importance->size(), kMatrices + 7 + 1);  // routers and the embedding, which is the head, too
  const std::string layer = "model.layers.3.";
  const auto of = [&](const std::string& name) {
    const auto some = importance->of(layer + name, 0, 256);
    return std::vector<float>(some.begin(), some.end());
  };
  EXPECT_FALSE(of("self_attn.q_proj.weight").empty());
  EXPECT_EQ(of("self_attn.q_proj.weight"), of("self_attn.v_proj.weight"));
  EXPECT_EQ(of("block_sparse_moe.experts.1.w1.weight"), of("block_sparse_moe.experts.1.w3.weight"));
  EXPECT_NE(of("block_sparse_moe.experts.1.w1.weight"), of("block_sparse_moe.experts.2.w1.weight"));
  EXPECT_TRUE(quantized(options).ok());
}

TEST(QuantizeDirectory, WhatIsWrongIsNamed) {
  const std::string out = place("wrong"), packed = place("packed");
  ASSERT_TRUE(quantized(options_of(kDemo, packed, "fp8")).ok());
  EXPECT_EQ(quantized(options_of(kDemo, packed, "fp8")).code(), absl::StatusCode::kAlreadyExists);
  EXPECT_NE(quantized(options_of(packed, out, "int4")).message().find("already"), std::string::npos);
  EXPECT_EQ(quantized(options_of("/no/such/model", out, "fp8")).code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(quantized(options_of("some.gguf", out, "fp8")).code(), absl::StatusCode::kUnimplemented);
  EXPECT_NE(quantized(options_of(kDemo, out, "q4_k")).message().find("make_gguf"), std::string::npos);
  for (const char* format : {"fp8", "mxfp4"}) {
    Options options = options_of(kDemo, out, format);
    options.quantize.calibrate = "text";
    EXPECT_NE(quantized(options).message().find("does not profit"), std::string::npos) << format;
  }
  EXPECT_NE(quantized(options_of(kDemo, out, "fp4")).message().find("fp8, int4"), std::string::npos);
}

TEST(QuantizeDirectory, AFailureLeavesNothing) {
  const std::string in = place("nan"), out = place("nan_out");
  fs::copy(POLYMATH_STAND_IN, in);
  const auto stored = weights::open_stored(in, {});
  const auto* tensor = (*stored)->find("model.layers.1.self_attn.o_proj.weight");
  const auto* first = (*stored)->stored()[0].bytes.data();
  ASSERT_NE(tensor, nullptr);
  std::fstream file(in + "/model.safetensors", std::ios::in | std::ios::out | std::ios::binary);
  uint64_t header = 0;
  file.read(reinterpret_cast<char*>(&header), sizeof(header));
  const std::byte* data = first;
  for (const auto& t : (*stored)->stored()) data = std::min(data, t.bytes.data());
  file.seekp(static_cast<std::streamoff>(8 + header) + (tensor->bytes.data() - data));
  const uint16_t nan = 0x7fc0;
  file.write(reinterpret_cast<const char*>(&nan), sizeof(nan));
  file.close();
  const absl::Status status = quantized(options_of(in, out, "fp8"));
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  EXPECT_NE(status.message().find("o_proj"), std::string::npos) << status;
  EXPECT_FALSE(fs::exists(out) || fs::exists(out + ".part"));
}

}  // namespace
}  // namespace polymath::commands
