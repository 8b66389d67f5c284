// A packed KV cache on CUDA against the reference: every way to write it and to read it.

#include <gtest/gtest.h>

#include "backend/cuda/cuda_backend.h"
#include "backend/cuda/cuda_conversation_test.h"
#include "backend/reference/reference_backend.h"

namespace polymath::backend {
namespace {

constexpr const char* kTypes[] = {"fp8_e4m3", "fp8_e5m2", "int8"};

struct PackedCase {
  AttentionCase kind;
  const char* type;
};
void PrintTo(const PackedCase& c, std::ostream* out) { *out << c.kind.what << ", " << c.type; }
constexpr AttentionCase kKinds[] = {
    {"odd dims", 2, 1, 23, 17, 16, false, 0, 0, false},
    {"40, window, blocks of 5", 4, 2, 40, 40, 5, false, 21, 0, true},
    {"64, seven heads a kv head, sinks", 14, 2, 64, 64, 16, false, 0, 0, true},
    {"64, window and sinks", 16, 4, 64, 64, 32, false, 50, 0, true},
    {"96", 6, 2, 96, 96, 24, false, 0, 0, false},
    {"128, eight a kv head", 32, 4, 128, 128, 16, false, 0, 0, false},
    {"128, one head a kv head, chunk", 4, 4, 128, 128, 16, false, 0, 64, false},
    {"128, blocks that no tile is made of", 8, 2, 128, 128, 12, false, 0, 0, true},
    {"256", 4, 2, 256, 256, 16, false, 0, 0, false},
    {"latent, odd", 3, 1, 41, 19, 5, true, 0, 0, false},
    {"latent of DeepSeek", 16, 1, 576, 512, 16, true, 0, 0, false},
    {"latent, twenty heads, window", 20, 1, 576, 512, 8, true, 90, 0, false},
};

// DeepSeek's keys, which take the reference long, in one type a case.
std::vector<PackedCase> packed_cases() {
  std::vector<PackedCase> all;
  size_t nth = 0;
  for (const AttentionCase& c : kKinds) {
    for (size_t i = 0; i < std::size(kTypes); ++i) {
      if (c.key_dim < 500 || i == nth % std::size(kTypes)) all.push_back({c, kTypes[i]});
    }
    ++nth;
  }
  return all;
}

class CudaPackedKv : public testing::TestWithParam<PackedCase> {};
INSTANTIATE_TEST_SUITE_P(Kinds, CudaPackedKv, testing::ValuesIn(packed_cases()));

// On tensor cores queries and probabilities are rounded to bf16, and in prompts what is unpacked.
TEST_P(CudaPackedKv, AttentionIsTheReferences) {
  const auto& [c, type] = GetParam();
  auto made = make_cuda_backend({.threads = 2});
  if (!made.ok()) GTEST_SKIP() << made.status().message();
  const auto fast = *std::move(made), invariant = make_cuda_backend({.threads = 2}, true).value();
  const auto reference = make_reference_backend({}).value();
  for (Backend* b : {fast.get(), invariant.get(), reference.get()}) ASSERT_TRUE(b->reserve(kLimits).ok());
  Side there(*reference);
  const std::vector<std::vector<int>> steps = {{1, 0, 5},    {30, 129, 0}, {1, 1, 1}, {170, 1, 16},
                                               {64, 100, 0}, {0, 8, 1},    {1, 0, 0}, {1, 1, 1}};
  std::vector<std::vector<double>> expected;
  Conversation on_reference(there, c, *KvType::named(type));
  for (const auto& lengths : steps) expected.push_back(on_reference.step(lengths));
  const double tolerance = c.key_dim >= 64 && c.block_size % 8 == 0 ? 3e-2 : 5e-5;
  for (Backend* const cuda : {fast.get(), invariant.get()}) {
    Side here(*cuda);
    for (const std::string_view variant : variants_of(*cuda, "attention")) {
      SCOPED_TRACE(variant);
      ASSERT_TRUE(force_kernel(*cuda, "attention", variant));
      Conversation got(here, c, *KvType::named(type));
      for (size_t step = 0; step < steps.size(); ++step) {
        const auto a = got.step(steps[step]);
        ASSERT_TRUE(cuda->health().ok()) << cuda->health();
        EXPECT_EQ(first_wrong(a, expected[step], c, tolerance), "") << "step " << step;
      }
    }
  }
}

// One query a sequence, on long contexts.
struct DecodeCase {
  AttentionCase kind;
  const char* type;
  Before before;
  bool of_qkv = false;
};
constexpr DecodeCase kDecodes[] = {
    {{"one head a kv head", 4, 4, 128, 128, 16, false, 0, 0, false}, "int8"},
    {{"one head a kv head, many", 48, 48, 128, 128, 16, false, 0, 0, false}, "fp8_e4m3"},
    {{"four, 64", 8, 2, 64, 64, 8, false, 0, 0, false}, "fp8_e5m2"},
    {{"seven, 96", 14, 2, 96, 96, 24, false, 0, 0, false}, "int8"},
    {{"eight, 64, many, window, sinks", 400, 50, 64, 64, 16, false, 130, 0, true}, "fp8_e4m3"},
    {{"eight, 256", 16, 2, 256, 256, 16, false, 0, 0, false}, "int8"},
    {{"sixteen, 128, sinks", 32, 2, 128, 128, 32, false, 0, 0, true}, "fp8_e4m3"},
    {{"twenty, 128, window", 40, 2, 128, 128, 16, false, 37, 0, false}, "fp8_e5m2"},
    {{"latent", 16, 1, 576, 512, 16, true, 0, 0, false}, "fp8_e4m3"},
    {{"latent, forty, window", 40, 1, 576, 512, 8, true, 700, 0, false}, "int8"},
    {{"of qkv, 128, norm", 32, 4, 128, 128, 16, false, 0, 0, false}, "int8", {QkvNorm::kHead, 128}, true},
    {{"of qkv, 128, many", 48, 48, 128, 128, 16, false, 0, 0, false}, "fp8_e4m3", {QkvNorm::kNone, 128}, true},
    {{"of qkv, 64, norm after, factors, window, sinks", 8, 2, 64, 64, 8, false, 130, 0, true},
     "fp8_e5m2",
     {QkvNorm::kHeadAfter, 64, false, true},
     true},
    {{"of qkv, 64, seven, many", 350, 50, 64, 64, 16, false, 0, 0, false}, "int8", {QkvNorm::kHead, 64}, true},
    {{"of qkv, whole norm, grouped", 8, 4, 64, 64, 16, false, 0, 0, false}, "int8", {QkvNorm::kWhole, 64}, true},
    {{"of qkv, twelve", 24, 2, 128, 128, 16, false, 0, 0, false}, "fp8_e4m3", {QkvNorm::kNone, 128, true}, true},
};
void PrintTo(const DecodeCase& c, std::ostream* out) { *out << c.kind.what << ", " << c.type; }

class CudaPackedKvDecode : public testing::TestWithParam<DecodeCase> {};
INSTANTIATE_TEST_SUITE_P(Kinds, CudaPackedKvDecode, testing::ValuesIn(kDecodes));

TEST_P(CudaPackedKvDecode, IsTheReferences) {
  const auto& [c, type, around, of_qkv] = GetParam();
  expect_reference_decodes(c, *KvType::named(type), {DType::kF32, DType::kBf16, 0}, of_qkv ? &around : nullptr);
}

// Prompts on wgmma read an unpacked copy where the step's block table says that there is room for it.
struct PromptCase {
  AttentionCase kind;
  const char *type, *on_mma, *on_wgmma;
  int spare_cols;  // 4096: as if there were no room
  std::vector<std::vector<int>> steps;
};
std::vector<PromptCase> prompts() {
  const AttentionCase heads{"48 heads", 48, 48, 128, 128, 16, false, 0, 0, false},
      eight{"64, eight, window", 32, 4, 64, 64, 32, false, 300, 0, true},
      latent{"latent", 16, 1, 576, 512, 16, true, 0, 0, false};
  const char *const mma = "paged_attention_mma", *const wgmma = "paged_attention_wgmma";
  return {{heads, "int8", mma, wgmma, 0, {{129, 1, 64}, {1000, 1100, 900}, {1, 17, 300}}},  // no room
          {eight, "fp8_e4m3", mma, wgmma, 0, {{700, 300, 1}, {1, 500, 64}}},
          {eight, "int8", mma, wgmma, 4096, {{700, 300, 1}, {1, 500, 64}}},
          {latent, "int8", "mla_prefill", "mla_prefill_wgmma", 0, {{300, 70, 1}, {1, 200, 129}}}};
}
void PrintTo(const PromptCase& c, std::ostream* out) { *out << c.kind.what << ", " << c.type << ", " << c.spare_cols; }

class CudaPackedKvPrompts : public testing::TestWithParam<PromptCase> {};
INSTANTIATE_TEST_SUITE_P(Kinds, CudaPackedKvPrompts, testing::ValuesIn(prompts()));

TEST_P(CudaPackedKvPrompts, OnWgmmaAreThoseOfMma) {
  const auto& [c, type, on_mma, on_wgmma, spare_cols, steps] = GetParam();
  auto made = make_cuda_backend({.threads = 2});
  if (!made.ok()) GTEST_SKIP() << made.status().message();
  const auto cuda = *std::move(made);
  ASSERT_TRUE(cuda->reserve(kLimits).ok());
  Side one(*cuda), other(*cuda);
  Conversation expected(one, c, *KvType::named(type)), got(other, c, *KvType::named(type));
  got.spare_cols = spare_cols;
  for (const std::vector<int>& lengths : steps) {
    ASSERT_TRUE(force_kernel(*cuda, "attention", on_mma));
    const auto b = expected.step(lengths);
    ASSERT_TRUE(force_kernel(*cuda, "attention", on_wgmma));
    const auto a = got.step(lengths);
    ASSERT_TRUE(cuda->health().ok()) << cuda->health();
    EXPECT_EQ(first_wrong(a, b, c, 1e-2), "");
  }
  EXPECT_TRUE(has_run(*cuda, on_wgmma));
}

}  // namespace
}  // namespace polymath::backend
