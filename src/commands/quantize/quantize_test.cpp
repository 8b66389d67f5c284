#include "commands/quantize/quantize.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <vector>

#include "commands/quantize/gguf_plan.h"
#include "weights/gguf_model.h"
#include "weights/gguf_test_file.h"

namespace polymath::commands {
namespace {

constexpr uint32_t kF32 = 0;
constexpr int kRows = 3, kCols = 256;

std::vector<float> values_of(int seed, int n) {
  std::vector<float> out;
  for (int i = 0; i < n; ++i) out.push_back(std::sin(static_cast<float>(i * (seed + 1))));
  return out;
}

std::string bytes_of(const std::vector<float>& values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float)};
}

// A matrix of each kind. Rows of 96 are no whole blocks of 256, and rows of 40 no blocks at all.
weights::GgufFile model_file() {
  weights::GgufFile file;
  file.string("general.architecture", "llama").u32("general.file_type", 0).strings("tokenizer.ggml.tokens", {"a", "b"});
  file.tensor("token_embd.weight", {kCols, kRows}, kF32, bytes_of(values_of(1, kRows * kCols)));
  file.tensor("blk.0.attn_q.weight", {kCols, kRows}, kF32, bytes_of(values_of(2, kRows * kCols)));
  file.tensor("blk.0.ffn_down_exps.weight", {96, 2, kRows}, kF32, bytes_of(values_of(3, kRows * 2 * 96)));
  file.tensor("blk.0.attn_k.weight", {40, kRows}, kF32, bytes_of(values_of(4, kRows * 40)));
  file.tensor("blk.0.ffn_gate_inp.weight", {kCols, kRows}, kF32, bytes_of(values_of(5, kRows * kCols)));
  file.tensor("blk.0.attn_norm.weight", {kCols}, kF32, bytes_of(values_of(6, kCols)));
  return file;
}

std::string place(const std::string& name) {
  const std::string path = testing::TempDir() + "quantize_" + name + ".gguf";
  std::filesystem::remove(path);
  return path;
}

Options options_of(const std::string& in, const std::string& out, const std::string& format) {
  Options options;
  options.model.name = in;
  options.quantize = {.out = out, .format = format};
  options.runtime.threads = 2;
  return options;
}

std::string written(const std::string& name, const weights::GgufFile& file) {
  const std::string path = place(name);
  std::ofstream(path, std::ios::binary) << file.bytes();
  return path;
}

std::vector<float> read(const weights::GgufModel& model, const weights::GgufTensor& t) {
  const quant::QuantFormat& format = *quant::find_format(t.type->format);
  std::vector<float> out(static_cast<size_t>(t.shape.elements()));
  format.dequantize({model.data(t).data()}, 0, out.data(), t.shape.elements());
  return out;
}

TEST(Quantize, PacksMatricesAndKeepsTheRest) {
  const std::string in = written("in", model_file()), out = place("out");
  testing::internal::CaptureStdout();
  const absl::Status status = quantize_model(options_of(in, out, "q4_k"));
  testing::internal::GetCapturedStdout();
  ASSERT_TRUE(status.ok()) << status;
  const auto before = weights::open_gguf_model(in), after = weights::open_gguf_model(out);
  ASSERT_TRUE(after.ok()) << after.status();
  base::JsonObject metadata = before->header.metadata;
  metadata["general.file_type"] = 14;
  metadata["general.quantization_version"] = 2;
  EXPECT_EQ(after->header.metadata, metadata);
  const std::vector<std::pair<std::string, std::string>> types = {
      {"blk.0.attn_k.weight", "F32"},         {"blk.0.attn_norm.weight", "F32"},    {"blk.0.attn_q.weight", "Q4_K"},
      {"blk.0.ffn_down_exps.weight", "Q8_0"}, {"blk.0.ffn_gate_inp.weight", "F32"}, {"token_embd.weight", "Q6_K"}};
  ASSERT_EQ(after->header.tensors.size(), types.size());
  for (size_t i = 0; i < types.size(); ++i) {
    const weights::GgufTensor& t = after->header.tensors[i];
    EXPECT_EQ(t.name, types[i].first);
    EXPECT_EQ(t.type->name, types[i].second) << t.name;
    EXPECT_EQ(t.shape, before->header.tensors[i].shape);
    const std::vector<float> old = read(*before, before->header.tensors[i]), packed = read(*after, t);
    for (size_t v = 0; v < old.size(); ++v) ASSERT_NEAR(packed[v], old[v], t.type->name == "F32" ? 0 : 0.15) << t.name;
  }
  EXPECT_FALSE(std::filesystem::exists(out + ".part"));
}

TEST(Quantize, NothingIsOverwritten) {
  const std::string in = written("in2", model_file()), out = written("out2", model_file());
  EXPECT_EQ(quantize_model(options_of(in, out, "q8_0")).code(), absl::StatusCode::kAlreadyExists);
}

TEST(Quantize, WhatIsWrongIsNamed) {
  const std::string in = written("in3", model_file()), out = place("out3");
  EXPECT_NE(quantize_model(options_of(in, out, "q3_k")).message().find("mxfp4"), std::string::npos);
  EXPECT_NE(quantize_model(options_of(in, "", "q8_0")).message().find("output"), std::string::npos);
  EXPECT_NE(quantize_model(options_of(in, out, "")).message().find("--to"), std::string::npos);
  EXPECT_EQ(quantize_model(options_of("a/directory", out, "q8_0")).code(), absl::StatusCode::kUnimplemented);
  EXPECT_EQ(quantize_model(options_of(in, "/no/such/folder/x.gguf", "q8_0")).code(), absl::StatusCode::kNotFound);
  weights::GgufFile bad = model_file();
  std::vector<float> values = values_of(7, kCols);
  values[9] = NAN;
  bad.tensor("output.weight", {kCols}, kF32, bytes_of(values))
      .tensor("blk.1.attn_q.weight", {kCols, 1}, kF32, bytes_of(values));
  const absl::Status status = quantize_model(options_of(written("in4", bad), out, "q8_0"));
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  EXPECT_NE(status.message().find("blk.1.attn_q.weight"), std::string::npos);
  EXPECT_FALSE(std::filesystem::exists(out) || std::filesystem::exists(out + ".part"));
}

}  // namespace
}  // namespace polymath::commands
