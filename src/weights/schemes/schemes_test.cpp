// Schemes' configs, and tensors that do not fit together. Values are those that tools/make_quantized.py computed.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <map>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "base/hash.h"
#include "weights/model_files.h"
#include "weights/safetensors.h"
#include "weights/schemes/scheme.h"
#include "weights/test_files.h"

namespace polymath::weights {
namespace {

using absl::StatusCode;
using testing::HasSubstr;

std::string data_directory() { return std::string(POLYMATH_SOURCE_DIR) + "/tests/conformance/data/quantized"; }

std::vector<std::string> case_names() {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(data_directory())) {
    names.push_back(entry.path().filename().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

// Of the values in float32; zeros have no sign.
std::string hash_of(const RawTensor& raw) {
  std::vector<float> values(static_cast<size_t>(raw.shape.elements()));
  raw.format->dequantize({raw.data}, 0, values.data(), raw.shape.elements());
  for (float& value : values) value += 0.0f;
  base::Sha256 hash;
  hash.update(values.data(), values.size() * sizeof(float));
  const base::Digest digest = hash.finish();
  return absl::BytesToHexString({reinterpret_cast<const char*>(digest.data()), digest.size()});
}

class SchemeCases : public testing::TestWithParam<std::string> {};

INSTANTIATE_TEST_SUITE_P(All, SchemeCases, testing::ValuesIn(case_names()), [](const auto& info) {
  std::string name = info.param;
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
});

TEST_P(SchemeCases, UnpackToTheValuesOfTheirDefinition) {
  const std::string path = data_directory() + "/" + GetParam();
  const auto checkpoint = open_directory(path)->open_checkpoint();
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
  const auto expected = base::read_json_file(path + "/values.json", {});
  ASSERT_TRUE(expected.ok()) << expected.status();
  for (const auto& [key, value] : expected->get_object()) {
    const std::string name(key.data(), key.size());
    const TensorInfo* info = find_tensor(**checkpoint, name);
    ASSERT_NE(info, nullptr) << name;
    EXPECT_FALSE(info->scheme.empty()) << name;
    tensor::Shape shape;
    for (const auto& n : value.at("shape").as_array()) shape.push_back(n.as_int64());
    const auto raw = (*checkpoint)->read(name, shape);
    ASSERT_TRUE(raw.ok()) << raw.status();
    EXPECT_EQ(raw->format, info->format);
    EXPECT_EQ(hash_of(*raw), std::string_view(value.at("sha256").as_string())) << name << " as " << raw->format->name;
    (*checkpoint)->release(name);
  }
}

// No part of a weight is left for the model to wonder about.
TEST_P(SchemeCases, ListWeightsAlone) {
  const auto checkpoint = open_directory(data_directory() + "/" + GetParam())->open_checkpoint();
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
  for (const TensorInfo& info : (*checkpoint)->tensors()) {
    EXPECT_NE(info.format, nullptr) << info.name;
    for (const char* part : {"scale", "zero", "g_idx", "absmax", "quant", "SCB", "table", "shape"}) {
      if (!info.name.ends_with("_blocks")) {
        EXPECT_EQ(info.name.find(part), std::string::npos) << info.name;
      }
    }
  }
}

std::string format_in(const std::string& name, const std::string& module) {
  const auto checkpoint = open_directory(data_directory() + "/" + name)->open_checkpoint();
  if (!checkpoint.ok()) return std::string(checkpoint.status().message());
  return std::string(stored_format(**checkpoint, "model.layers.0." + module + ".weight")->name);
}

TEST(Schemes, KeepGroupsInTheLargestBlocksThatHoldThem) {
  const std::string q = "self_attn.q_proj", down = "mlp.experts.1.down_proj";
  const std::tuple<std::string, std::string, std::string> kCases[] = {
      {"fp8-blocks", q, "fp8_g128"},
      {"fp8-blocks", down, "fp8_g32"},
      {"fp8-tensor", q, "fp8_g128"},
      {"awq-g64", q, "int4_g32"},
      {"gptq-g128", q, "int4_g128"},
      {"gptq-act-order", q, "float32"},
      {"gptq-int8", q, "int8_g128"},
      {"gptq-int8-zeros", q, "float32"},
      {"compressed-int4", q, "q4_0"},
      {"compressed-w8a8", down, "int8_g32"},
      {"compressed-nvfp4", q, "nvfp4"},
      {"compressed-mxfp4", q, "mxfp4"},
      {"modelopt-nvfp4", q, "nvfp4"},
      {"bitsandbytes-nf4-nested", q, "nf4"},
      {"bitsandbytes-int8", q, "int8_g128"},
      {"squeezellm", q, "float32"},
      {"eetq", q, "int8_g128"},
  };
  for (const auto& [name, module, format] : kCases) EXPECT_EQ(format_in(name, module), format) << name;
}

absl::StatusOr<Scheme> parse(const std::string& text) { return parse_scheme(*base::parse_json(text, {})); }

TEST(Schemes, RefuseConfigsThatTheyDoNotKnow) {
  struct Refused {
    const char* config;
    StatusCode code;
    const char* said;
  };
  const Refused kCases[] = {
      {R"({"quant_method": "quip"})", StatusCode::kUnimplemented, "\"quip\" (quantization_config.quant_method)"},
      {R"({})", StatusCode::kUnimplemented, "an unnamed method"},
      {R"([])", StatusCode::kInvalidArgument, "quantization_config: must be an object"},
      {R"({"quant_method": "fp8", "rotated": true})", StatusCode::kUnimplemented,
       "quantization_config.rotated: this key"},
      {R"({"quant_method": "fp8", "fmt": "e5m2"})", StatusCode::kInvalidArgument, "fmt: must be e4m3"},
      {R"({"quant_method": "fp8", "weight_block_size": [128]})", StatusCode::kInvalidArgument, "weight_block_size"},
      {R"({"quant_method": "fp8", "weight_block_size": [128, 0]})", StatusCode::kInvalidArgument, "weight_block_size"},
      {R"({"quant_method": "awq", "bits": 3, "group_size": 128})", StatusCode::kInvalidArgument, "bits: only 4 and 8"},
      {R"({"quant_method": "awq", "bits": 4, "group_size": 0})", StatusCode::kInvalidArgument,
       "group_size: must be -1"},
      {R"({"quant_method": "awq", "bits": 4, "version": "gemv"})", StatusCode::kInvalidArgument, "version: only gemm"},
      {R"({"quant_method": "gptq", "bits": 2})", StatusCode::kInvalidArgument, "bits: only 4 and 8"},
      {R"({"quant_method": "gptq", "bits": 4, "checkpoint_format": "marlin"})", StatusCode::kInvalidArgument,
       "checkpoint_format: must be gptq"},
      {R"({"quant_method": "gptq", "bits": 4, "dynamic": {"+:x": {"bits": 3}}})", StatusCode::kInvalidArgument,
       "dynamic.+:x.bits: only 4 and 8"},
      {R"({"quant_method": "compressed-tensors", "format": "marlin-24"})", StatusCode::kInvalidArgument, "marlin-24"},
      {R"({"quant_method": "compressed-tensors", "sparsity_config": {"format": "sparse-24-bitmask"}})",
       StatusCode::kInvalidArgument, "sparsity_config.format: only dense"},
      {R"({"quant_method": "compressed-tensors", "config_groups": {"a": {"weights": {"num_bits": 3}}}})",
       StatusCode::kInvalidArgument, "config_groups.a.weights.num_bits"},
      {R"({"quant_method": "compressed-tensors", "transform_config": {"config_groups": {"u": {}}}})",
       StatusCode::kInvalidArgument, "transform_config: rotated"},
      {R"({"quant_method": "modelopt", "quant_algo": "W4A8_AWQ"})", StatusCode::kInvalidArgument,
       "\"W4A8_AWQ\" is not read"},
      {R"({"quant_method": "bitsandbytes", "bnb_4bit_quant_storage": "bfloat16"})", StatusCode::kInvalidArgument,
       "bnb_4bit_quant_storage"},
      {R"({"quant_method": "eetq", "weights": "int4"})", StatusCode::kInvalidArgument, "weights"},
      {R"({"quant_method": "squeezellm", "wbits": 3})", StatusCode::kInvalidArgument, "wbits"},
  };
  for (const Refused& c : kCases) {
    const auto scheme = parse(c.config);
    EXPECT_EQ(scheme.status().code(), c.code) << c.config << scheme.status();
    EXPECT_THAT(scheme.status().message(), HasSubstr(c.said)) << c.config;
  }
  EXPECT_TRUE(parse(R"({"load_in_4bit": true})").ok());
  EXPECT_TRUE(parse(R"({"quant_algo": "NVFP4", "group_size": 16})").ok());
}

// A safetensors file of zeros.
struct Named {
  std::string name, type;
  std::vector<int> shape;
  std::string bytes = {};  // empty: zeros
};

size_t bytes_of_type(const std::string& type) {
  return type == "I64" ? 8 : type == "I32" || type == "F32" ? 4 : type == "F16" || type == "BF16" ? 2 : 1;
}

std::string file_of(const std::vector<Named>& tensors) {
  std::string header = "{", data;
  for (const Named& t : tensors) {
    size_t n = bytes_of_type(t.type);
    for (const int dim : t.shape) n *= static_cast<size_t>(dim);
    const std::string shape = absl::StrJoin(t.shape, ",");
    absl::StrAppend(&header, header.size() > 1 ? "," : "", "\"", t.name, "\":{\"dtype\":\"", t.type, "\",\"shape\":[",
                    shape, "],\"data_offsets\":[", data.size(), ",", data.size() + n, "]}");
    data += t.bytes.empty() ? std::string(n, '\0') : t.bytes;
  }
  return safetensors(header + "}", data);
}

// What is wrong with a checkpoint of these tensors, or with reading "a.weight" of [rows, cols] from it.
std::string fault(const std::string& config, const std::vector<Named>& tensors, const tensor::Shape& shape = {8, 32}) {
  const std::string file = file_of(tensors);
  auto stored = parse_stored(bytes_of(file), {});
  if (!stored.ok()) return std::string(stored.status().message());
  const auto scheme = parse(config);
  if (!scheme.ok()) return std::string(scheme.status().message());
  const auto checkpoint = open_quantized(*std::move(stored), *scheme);
  if (!checkpoint.ok()) return std::string(checkpoint.status().message());
  return std::string((*checkpoint)->read("a.weight", shape).status().message());
}

constexpr const char* kGptq = R"({"quant_method": "gptq", "bits": 4, "group_size": 16, "sym": false})";

std::vector<Named> gptq_tensors() {
  return {{"a.qweight", "I32", {4, 8}}, {"a.qzeros", "I32", {2, 1}}, {"a.scales", "F16", {2, 8}}};
}

std::vector<Named> with(std::vector<Named> tensors, const Named& other) {
  for (Named& t : tensors) {
    if (t.name == other.name) return t = other, tensors;
  }
  tensors.push_back(other);
  return tensors;
}

std::vector<Named> without(std::vector<Named> tensors, const std::string& name) {
  std::erase_if(tensors, [&](const Named& t) { return t.name == name; });
  return tensors;
}

std::string ints(const std::vector<int32_t>& values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(int32_t)};
}

TEST(Schemes, RefuseTensorsOfGptqThatDoNotFitTogether) {
  const auto good = gptq_tensors();
  EXPECT_EQ(fault(kGptq, good), "");
  EXPECT_THAT(fault(kGptq, good, {8, 64}), HasSubstr("has shape [8, 32]; [8, 64] is expected"));
  EXPECT_THAT(fault(kGptq, without(good, "a.scales")), HasSubstr("has no \"a.scales\" beside it"));
  EXPECT_THAT(fault(kGptq, with(good, {"a.qweight", "I32", {4, 16}})), HasSubstr("[4, 8] is expected"));
  EXPECT_THAT(fault(kGptq, with(good, {"a.qzeros", "I32", {3, 1}})), HasSubstr("[2, 1] is expected"));
  EXPECT_THAT(fault(kGptq, with(good, {"a.qweight", "F32", {4, 8}})), HasSubstr("is of type F32; I32 is expected"));
  EXPECT_THAT(fault(kGptq, with(good, {"a.scales", "I32", {2, 8}})), HasSubstr("no scales are stored so"));
  EXPECT_THAT(fault(kGptq, with(good, {"a.weight", "F32", {8, 32}})), HasSubstr("the same weight"));
  EXPECT_THAT(fault(R"({"quant_method": "gptq", "bits": 8, "group_size": 16})", good), HasSubstr("has 4 bits"));
  EXPECT_THAT(fault(R"({"quant_method": "gptq", "bits": 4, "group_size": 32})", good), HasSubstr("groups of 16"));
  std::vector<int32_t> order(32);
  for (int i = 0; i < 32; ++i) order[static_cast<size_t>(i)] = i / 16;
  EXPECT_EQ(fault(kGptq, with(good, {"a.g_idx", "I32", {32}, ints(order)})), "");
  order[3] = 1;
  EXPECT_THAT(fault(kGptq, with(good, {"a.g_idx", "I32", {32}, ints(order)})), HasSubstr("though desc_act is false"));
  for (const int32_t group : {2, -1}) {
    order[3] = group;
    EXPECT_THAT(fault(R"({"quant_method": "gptq", "bits": 4, "group_size": 16, "desc_act": true})",
                      with(good, {"a.g_idx", "I32", {32}, ints(order)})),
                HasSubstr(absl::StrCat("has group ", group, " at 3; there are 2")));
  }
}

TEST(Schemes, RefuseScalesThatDivideNoWeight) {
  const std::string blocks = R"({"quant_method": "fp8", "weight_block_size": [128, 128]})";
  const Named weight{"a.weight", "F8_E4M3", {8, 32}};
  EXPECT_EQ(fault(blocks, {weight, {"a.weight_scale_inv", "F32", {1, 1}}}), "");
  EXPECT_EQ(fault(blocks, {weight, {"a.weight_scale", "BF16", {8, 1}}}), "");
  EXPECT_THAT(fault(blocks, {weight, {"a.weight_scale_inv", "F32", {2, 1}}}),
              HasSubstr("divides no weight of [8, 32]"));
  EXPECT_THAT(fault(blocks, {weight, {"a.weight_scale_inv", "F32", {1}}, {"a.weight_scale", "F32", {1}}}),
              HasSubstr("both"));
  EXPECT_THAT(fault(blocks, {weight}), HasSubstr("F8_E4M3, a type that is not read"));
  EXPECT_THAT(fault(blocks, {weight, {"a.weight_scale", "F32", {1}, std::string("\0\0\x80\x7f", 4)}}),
              HasSubstr("a scale is inf"));
  EXPECT_THAT(
      fault(R"({"quant_method": "fp8", "modules_to_not_convert": ["a"]})", {weight, {"a.weight_scale", "F32", {1}}}),
      HasSubstr("excludes its module"));
}

TEST(Schemes, RefuseOtherTensorsThatDoNotFitTogether) {
  const std::string compressed =
      R"({"quant_method": "compressed-tensors", "config_groups": {"a": {"weights": {"num_bits": 4, "group_size": 16}}}})";
  const Named codes{"a.weight_packed", "I32", {8, 4}}, scale{"a.weight_scale", "BF16", {8, 2}};
  const std::string dims = ints({8, 32});
  EXPECT_EQ(fault(compressed, {codes, scale, {"a.weight_shape", "I32", {2}, dims}}), "");
  EXPECT_THAT(fault(compressed, {codes, scale}), HasSubstr("has no \"a.weight_shape\""));
  EXPECT_THAT(fault(compressed, {codes, scale, {"a.weight_shape", "I32", {2}, ints({8, 64})}}),
              HasSubstr("4 words a row for 64"));
  EXPECT_THAT(fault(compressed, {codes, scale, {"a.weight_shape", "I32", {2}, ints({9, 32})}}),
              HasSubstr("does not fit"));
  EXPECT_THAT(fault(compressed, {codes, {"a.weight_scale", "BF16", {8, 3}}, {"a.weight_shape", "I32", {2}, dims}}),
              HasSubstr("groups of 11 inputs"));
  EXPECT_THAT(fault(R"({"quant_method": "mxfp4"})", {{"a_blocks", "U8", {1, 8, 2, 15}}, {"a_scales", "U8", {1, 8, 2}}}),
              HasSubstr("16 bytes a block"));
  EXPECT_THAT(fault(R"({"quant_method": "mxfp4"})", {{"a_blocks", "U8", {1, 8, 2, 16}}, {"a_scales", "U8", {1, 8, 3}}}),
              HasSubstr("[1, 8, 2] is expected"));
  EXPECT_THAT(
      fault(R"({"quant_method": "modelopt", "quant_algo": "NVFP4"})",
            {{"a.weight", "U8", {8, 16}}, {"a.weight_scale", "F8_E4M3", {8, 2}}, {"a.weight_scale_2", "F32", {2}}}),
      HasSubstr("must be one number"));
  const std::string state = R"({"blocksize": 32, "shape": [8, 32]})";
  const std::vector<Named> four_bits = {
      {"a.weight", "U8", {128, 1}},
      {"a.weight.absmax", "F32", {8}},
      {"a.weight.quant_map", "F32", {16}},
      {"a.weight.quant_state.bitsandbytes__nf4", "U8", {static_cast<int>(state.size())}, state}};
  const std::string bnb = R"({"quant_method": "bitsandbytes"})";
  EXPECT_EQ(fault(bnb, four_bits), "");
  EXPECT_THAT(fault(bnb, with(four_bits, {"a.weight.absmax", "F32", {9}})), HasSubstr("[8] is expected"));
  EXPECT_THAT(fault(bnb, with(four_bits, {"a.weight", "U8", {127, 1}})),
              HasSubstr("the 256 values of its quant_state"));
}

}  // namespace
}  // namespace polymath::weights
