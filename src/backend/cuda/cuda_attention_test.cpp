// Attention on CUDA against the reference: every kind of layer, prompts, decode steps, and split keys.

#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "backend/cuda/cuda_backend.h"
#include "backend/cuda/cuda_conversation_test.h"
#include "backend/reference/reference_backend.h"

namespace polymath::backend {
namespace {

// Beside kAttentionCases: blocks that the CPU has no layout for, and shapes with their own tiles on CUDA.
constexpr AttentionCase kMoreCases[] = {
    {"seven heads a kv head", 14, 2, 64, 64, 16, false, 0, 0, false},
    {"256", 4, 2, 256, 256, 16, false, 0, 0, false},
    {"128, eight a kv head", 32, 4, 128, 128, 16, false, 0, 0, false},
    {"128, window and sinks", 8, 2, 128, 128, 16, false, 50, 0, true},
    {"64, chunk and sinks", 16, 16, 64, 64, 32, false, 0, 40, true},
    {"64, forty heads a kv head", 40, 1, 64, 64, 8, false, 0, 0, false},
    {"96", 6, 2, 96, 96, 24, false, 0, 0, false},
    {"128, one head a kv head, chunk", 4, 4, 128, 128, 16, false, 0, 64, false},
    {"128, blocks that no tile is made of", 8, 2, 128, 128, 12, false, 0, 0, true},
    {"latent, odd", 3, 1, 41, 19, 5, true, 0, 0, false},
    {"latent of DeepSeek", 16, 1, 576, 512, 16, true, 0, 0, false},
    {"latent, twenty heads, window", 20, 1, 576, 512, 16, true, 90, 0, false},
    {"latent, four heads", 4, 1, 576, 512, 8, true, 0, 0, false},
};
std::vector<AttentionCase> cases() {
  std::vector<AttentionCase> all(std::begin(kAttentionCases), std::end(kAttentionCases));
  all.insert(all.end(), std::begin(kMoreCases), std::end(kMoreCases));
  return all;
}

struct KindCase {
  AttentionCase kind;
  DType dtype;
};
std::vector<KindCase> kinds() {
  std::vector<KindCase> all;
  for (const DType dtype : {DType::kF32, DType::kBf16}) {
    for (const AttentionCase& c : cases()) all.push_back({c, dtype});
  }
  return all;
}
void PrintTo(const KindCase& c, std::ostream* out) { *out << c.kind.what << ", " << tensor::dtype_name(c.dtype); }

// A test each, to run in parallel: the reference takes a second for some.
class CudaAttentionKinds : public testing::TestWithParam<KindCase> {};
INSTANTIATE_TEST_SUITE_P(Kinds, CudaAttentionKinds, testing::ValuesIn(kinds()));

TEST_P(CudaAttentionKinds, AreTheReferences) {
  const auto& [c, dtype] = GetParam();
  auto made = make_cuda_backend({.threads = 2});
  if (!made.ok()) GTEST_SKIP() << made.status().message();
  const auto fast = *std::move(made), invariant = make_cuda_backend({.threads = 2}, true).value();
  const auto reference = make_reference_backend({}).value();
  for (Backend* b : {fast.get(), invariant.get(), reference.get()}) ASSERT_TRUE(b->reserve(kLimits).ok());
  Side there(*reference);
  const std::vector<std::vector<int>> steps = {{1, 0, 5}, {30, 129, 0}, {1, 1, 1}, {170, 1, 16}, {0, 8, 1}, {1, 0, 0}};
  std::vector<std::vector<double>> expected;
  Conversation on_reference(there, c, {dtype});
  for (const auto& lengths : steps) expected.push_back(on_reference.step(lengths));
  // On tensor cores queries and probabilities are rounded to bf16.
  const double tolerance = dtype == DType::kBf16 && c.key_dim >= 64 && (!c.latent || c.key_dim == 576) ? 3e-2 : 5e-5;
  const auto expect_all = [&](Backend& cuda) {
    Side here(cuda);
    for (const std::string_view variant : variants_of(cuda, "attention")) {
      SCOPED_TRACE(variant);
      ASSERT_TRUE(force_kernel(cuda, "attention", variant));
      Conversation got(here, c, {dtype});
      for (size_t step = 0; step < steps.size(); ++step) {
        const auto a = got.step(steps[step]);
        ASSERT_TRUE(cuda.health().ok()) << cuda.health();
        EXPECT_EQ(first_wrong(a, expected[step], c, tolerance), "") << "step " << step;
      }
    }
  };
  expect_all(*fast);
  expect_all(*invariant);
}

// One query a sequence. Steps of more than 132 kv heads and sequences have blocks of fewer warps.
struct SingleCase {
  AttentionCase kind;
  Io io;
  Before before;
  bool of_qkv = false;
};
constexpr Io kPlain{DType::kF32, DType::kBf16, 0};
constexpr SingleCase kSingleCases[] = {
    {{"one head a kv head", 4, 4, 128, 128, 16, false, 0, 0, false}, kPlain},
    {{"one head a kv head, many", 48, 48, 128, 128, 16, false, 0, 0, false}, kPlain},
    {{"four, 64", 8, 2, 64, 64, 8, false, 0, 0, false}, {DType::kF32, DType::kF32, 0}},
    {{"seven, 96", 14, 2, 96, 96, 24, false, 0, 0, false}, {DType::kBf16, DType::kBf16, 0}},
    {{"eight, 128", 32, 4, 128, 128, 16, false, 0, 0, false}, kPlain},
    {{"eight, 128, rows that are no words", 32, 4, 128, 128, 16, false, 0, 0, false}, {DType::kBf16, DType::kF32, 1}},
    {{"eight, 64, many, window, sinks", 400, 50, 64, 64, 16, false, 130, 0, true}, kPlain},
    {{"eight, 256", 16, 2, 256, 256, 16, false, 0, 0, false}, kPlain},
    {{"nine, 96, many", 450, 50, 96, 96, 32, false, 0, 0, false}, kPlain},
    {{"sixteen, 128, sinks", 32, 2, 128, 128, 32, false, 0, 0, true}, kPlain},
    {{"sixteen, 256", 16, 1, 256, 256, 128, false, 0, 0, false}, {DType::kF32, DType::kF32, 0}},
    {{"twenty, 128, window", 40, 2, 128, 128, 16, false, 37, 0, false}, kPlain},
    {{"two, 64, chunk and sinks", 4, 2, 64, 64, 16, false, 0, 300, true}, {DType::kBf16, DType::kBf16, 0}},
    {{"latent", 16, 1, 576, 512, 16, true, 0, 0, false}, kPlain},
    {{"latent, forty, f32", 40, 1, 576, 512, 8, true, 0, 0, false}, {DType::kF32, DType::kF32, 0}},
    {{"latent, six, bf16, window", 6, 1, 576, 512, 32, true, 700, 0, false}, {DType::kBf16, DType::kBf16, 0}},
    {{"of qkv, 128, norm", 32, 4, 128, 128, 16, false, 0, 0, false}, kPlain, {QkvNorm::kHead, 128}, true},
    {{"of qkv, 128, many", 48, 48, 128, 128, 16, false, 0, 0, false}, kPlain, {QkvNorm::kNone, 128}, true},
    {{"of qkv, 64, norm after, factors, window, sinks", 8, 2, 64, 64, 8, false, 130, 0, true},
     {DType::kF32, DType::kF32, 0},
     {QkvNorm::kHeadAfter, 64, false, true},
     true},
    {{"of qkv, 64, seven, many", 350, 50, 64, 64, 16, false, 0, 0, false}, kPlain, {QkvNorm::kHead, 64}, true},
    {{"of qkv, not turned, chunk", 4, 2, 128, 128, 16, false, 0, 300, false}, kPlain, {}, true},
    {{"of qkv, 128, whole norm", 16, 16, 128, 128, 16, false, 0, 0, false}, kPlain, {QkvNorm::kWhole, 128}, true},
    {{"of qkv, 128, whole norm, many", 48, 48, 128, 128, 16, false, 0, 0, false}, kPlain, {QkvNorm::kWhole, 128}, true},
    {{"of qkv, 64, whole norm", 3, 3, 64, 64, 16, false, 0, 0, false}, kPlain, {QkvNorm::kWhole, 64}, true},
    {{"of qkv, whole norm, grouped", 8, 4, 64, 64, 16, false, 0, 0, false}, kPlain, {QkvNorm::kWhole, 64}, true},
    {{"of qkv, turned in part", 4, 2, 128, 128, 16, false, 0, 0, false}, kPlain, {QkvNorm::kHead, 64}, true},
    {{"of qkv, interleaved", 4, 2, 128, 128, 16, false, 0, 0, false}, kPlain, {QkvNorm::kNone, 128, true}, true},
    {{"of qkv, twelve", 24, 2, 128, 128, 16, false, 0, 0, false}, kPlain, {QkvNorm::kNone, 128}, true},
    {{"of qkv, 96", 4, 2, 96, 96, 16, false, 0, 0, false}, kPlain, {QkvNorm::kNone, 96}, true},
};
void PrintTo(const SingleCase& c, std::ostream* out) { *out << c.kind.what; }

class CudaAttentionSingle : public testing::TestWithParam<SingleCase> {};
INSTANTIATE_TEST_SUITE_P(Kinds, CudaAttentionSingle, testing::ValuesIn(kSingleCases));

TEST_P(CudaAttentionSingle, IsTheReferences) {
  const auto& [c, io, around, of_qkv] = GetParam();
  expect_reference_decodes(c, {DType::kBf16}, io, of_qkv ? &around : nullptr);
}

// Prompts on wgmma: tiles of 128 rows over runs of 128 keys, of 64 over 64 on a latent cache.
struct PromptCase {
  AttentionCase kind;
  Io io;
};
constexpr PromptCase kPromptCases[] = {
    {{"128, one head a kv head", 4, 4, 128, 128, 16, false, 0, 0, false}, {DType::kBf16, DType::kBf16, 8}},
    {{"128, eight", 16, 2, 128, 128, 16, false, 0, 0, false}, {DType::kF32, DType::kBf16, 0}},
    {{"128, seven, f32", 14, 2, 128, 128, 16, false, 0, 0, false}, {}},
    {{"128, forty", 40, 1, 128, 128, 16, false, 0, 0, false}, {DType::kF32, DType::kBf16, 0}},
    {{"64, eight, blocks of 32", 16, 2, 64, 64, 32, false, 0, 0, false}, {DType::kF32, DType::kBf16, 0}},
    {{"64, one, blocks of 8, f32", 4, 4, 64, 64, 8, false, 0, 0, false}, {DType::kBf16, DType::kF32, 8}},
    {{"128, blocks of 24", 8, 2, 128, 128, 24, false, 0, 0, false}, {DType::kF32, DType::kBf16, 0}},
    {{"128, blocks of 128", 8, 2, 128, 128, 128, false, 0, 0, false}, {DType::kF32, DType::kBf16, 0}},
    {{"64, blocks of 256", 8, 2, 64, 64, 256, false, 0, 0, false}, {DType::kF32, DType::kBf16, 0}},
    {{"128, window 50, sinks", 8, 2, 128, 128, 16, false, 50, 0, true}, {DType::kF32, DType::kBf16, 0}},
    {{"64, window 200, sinks", 8, 1, 64, 64, 16, false, 200, 0, true}, {DType::kF32, DType::kBf16, 0}},
    {{"128, window 130, blocks of 128", 8, 2, 128, 128, 128, false, 130, 0, false}, {DType::kF32, DType::kBf16, 0}},
    {{"64, chunk 40, sinks", 16, 16, 64, 64, 32, false, 0, 40, true}, {DType::kF32, DType::kBf16, 0}},
    {{"128, chunk 300", 8, 2, 128, 128, 16, false, 0, 300, false}, {DType::kF32, DType::kBf16, 0}},
    {{"latent, sixteen", 16, 1, 576, 512, 16, true, 0, 0, false}, {DType::kF32, DType::kBf16, 0}},
    {{"latent, four, blocks of 8, f32", 4, 1, 576, 512, 8, true, 0, 0, false}, {DType::kBf16, DType::kF32, 8}},
    {{"latent, one, blocks of 128", 1, 1, 576, 512, 128, true, 0, 0, false}, {DType::kBf16, DType::kBf16, 8}},
    {{"latent, five, blocks of 64, f32", 5, 1, 576, 512, 64, true, 0, 0, false}, {}},
    {{"latent, six, window 90, blocks of 24", 6, 1, 576, 512, 24, true, 90, 0, false}, {DType::kF32, DType::kBf16, 0}},
    {{"latent, two, chunk 70", 2, 1, 576, 512, 32, true, 0, 70, false}, {DType::kF32, DType::kBf16, 0}},
};
void PrintTo(const PromptCase& c, std::ostream* out) { *out << c.kind.what; }
std::string_view variant_on_wgmma(const AttentionCase& c) {
  return c.latent ? "mla_prefill_wgmma" : "paged_attention_wgmma";
}

class CudaAttentionPrompts : public testing::TestWithParam<PromptCase> {};
INSTANTIATE_TEST_SUITE_P(Kinds, CudaAttentionPrompts, testing::ValuesIn(kPromptCases));

// First prompts, chunks that begin anywhere, decodes beside them; lengths around the edges of tiles and runs.
TEST_P(CudaAttentionPrompts, OnWgmmaAreTheReferences) {
  const auto& [c, io] = GetParam();
  auto made = make_cuda_backend({.threads = 2});
  if (!made.ok()) GTEST_SKIP() << made.status().message();
  const auto cuda = *std::move(made);
  const auto reference = make_reference_backend({}).value();
  for (Backend* b : {cuda.get(), reference.get()}) ASSERT_TRUE(b->reserve(kLimits).ok());
  Side here(*cuda), there(*reference);
  ASSERT_TRUE(force_kernel(*cuda, "attention", variant_on_wgmma(c)));
  Conversation got(here, c, {DType::kBf16}, io), expected(there, c, {DType::kBf16}, io);
  const std::vector<std::vector<int>> steps = {{129, 0, 64}, {127, 300, 1}, {1, 84, 200}, {0, 128, 129}, {60, 17, 3}};
  for (size_t step = 0; step < steps.size(); ++step) {
    const auto a = got.step(steps[step], 0, true, 1024), b = expected.step(steps[step]);
    ASSERT_TRUE(cuda->health().ok()) << cuda->health();
    EXPECT_EQ(first_wrong(a, b, c, 3e-2), "") << "step " << step;
  }
  EXPECT_TRUE(has_run(*cuda, variant_on_wgmma(c)));
}

// More tiles than multiprocessors, and the same bits each time.
struct LongPromptCase {
  AttentionCase kind;
  std::vector<std::vector<int>> steps;
};
std::vector<LongPromptCase> long_prompts() {
  const std::vector<std::vector<int>> longer = {{1500, 700, 2000}, {500, 1, 102}},
                                      shorter = {{200, 65, 400}, {130, 1, 63}};
  return {{{"128", 32, 4, 128, 128, 16, false, 0, 0, false}, longer},
          {{"64, sinks", 32, 8, 64, 64, 32, false, 0, 0, true}, longer},
          {{"latent", 16, 1, 576, 512, 16, true, 0, 0, false}, longer},
          {{"latent, a hundred heads", 100, 1, 576, 512, 64, true, 0, 0, false}, shorter},
          {{"latent, 128 heads", 128, 1, 576, 512, 16, true, 0, 0, false}, shorter}};
}
void PrintTo(const LongPromptCase& c, std::ostream* out) { *out << c.kind.what; }

class CudaAttentionLongPrompts : public testing::TestWithParam<LongPromptCase> {};
INSTANTIATE_TEST_SUITE_P(Kinds, CudaAttentionLongPrompts, testing::ValuesIn(long_prompts()));

TEST_P(CudaAttentionLongPrompts, OnWgmmaAreThoseOfMma) {
  const auto& [c, steps] = GetParam();
  auto made = make_cuda_backend({.threads = 2});
  if (!made.ok()) GTEST_SKIP() << made.status().message();
  const auto cuda = *std::move(made);
  ASSERT_TRUE(cuda->reserve(kLimits).ok());
  const std::string_view old = c.latent ? "mla_prefill" : "paged_attention_mma";
  std::vector<std::unique_ptr<Side>> sides;
  std::vector<Conversation> conversations;
  for (int i = 0; i < 3; ++i) {
    sides.push_back(std::make_unique<Side>(*cuda));
    conversations.emplace_back(*sides.back(), c, KvType{DType::kBf16});
  }
  for (const std::vector<int>& lengths : steps) {
    std::vector<std::vector<double>> out;
    for (size_t i = 0; i < conversations.size(); ++i) {
      ASSERT_TRUE(force_kernel(*cuda, "attention", i == 0 ? old : variant_on_wgmma(c)));
      out.push_back(conversations[i].step(lengths));
      ASSERT_TRUE(cuda->health().ok()) << cuda->health();
    }
    EXPECT_EQ(first_wrong(out[1], out[0], c, 1e-2), "");
    EXPECT_EQ(first_wrong(out[2], out[1], c, 0), "") << "the second time";
  }
  EXPECT_TRUE(has_run(*cuda, variant_on_wgmma(c)));
}

// A step whose keys_most is 1,024 splits no keys, and so adds in another order than one that does.
TEST(CudaAttention, LongContextsAreCut) {
  auto made = make_cuda_backend({.threads = 2});
  if (!made.ok()) GTEST_SKIP() << made.status().message();
  const auto cuda = *std::move(made);
  ASSERT_TRUE(cuda->reserve(kLimits).ok());
  for (const AttentionCase& c : {AttentionCase{"8 warps", 32, 4, 128, 128, 16, false, 0, 0, false},
                                 AttentionCase{"4 warps", 16, 1, 256, 256, 16, false, 0, 0, false}}) {
    SCOPED_TRACE(c.what);
    Side some(*cuda), others(*cuda);
    Conversation cut(some, c, {DType::kBf16}), whole(others, c, {DType::kBf16});
    for (const bool more : {false, true}) {
      for (Conversation* conversation : {&cut, &whole}) conversation->step(std::vector<int>(kSeqs, 1023), 0, false);
      const auto a = cut.step({1, 1, 1}), b = whole.step({1, 1, 1}, 0, true, 1024);
      ASSERT_TRUE(cuda->health().ok()) << cuda->health();
      for (size_t i = 0; i < a.size(); ++i) ASSERT_NEAR(a[i], b[i], 1e-2) << "number " << i;
      EXPECT_EQ(a != b, more);
    }
  }
}

// Padding rows of a captured step read no keys, give zeros, and leave the other rows unchanged.
class CudaAttentionFillers : public testing::TestWithParam<bool> {};
INSTANTIATE_TEST_SUITE_P(Tables, CudaAttentionFillers, testing::Bool());

TEST_P(CudaAttentionFillers, RowsThatFillAStepUp) {
  const double tolerance = GetParam() ? 0 : 1e-2;
  auto made = make_cuda_backend({.threads = 2}, GetParam());
  if (!made.ok()) GTEST_SKIP() << made.status().message();
  const auto cuda = *std::move(made);
  ASSERT_TRUE(cuda->reserve(kLimits).ok());
  for (const AttentionCase& c : cases()) {
    Side some(*cuda), others(*cuda);
    Conversation filled(some, c, {DType::kBf16}), alone(others, c, {DType::kBf16});
    for (const std::vector<int>& lengths : {std::vector<int>{1, 0, 1}, {140, 3, 0}, {1, 1, 1}, {1, 200, 7}}) {
      SCOPED_TRACE(testing::Message() << c.what << " " << lengths[0] << ", " << lengths[1] << ", " << lengths[2]);
      const auto a = filled.step(lengths, kFillers), b = alone.step(lengths);
      ASSERT_TRUE(cuda->health().ok()) << cuda->health();
      ASSERT_EQ(a.size(), b.size() + static_cast<size_t>(kFillers) * c.n_heads * c.value_dim);
      for (size_t i = 0; i < a.size(); ++i) {
        ASSERT_NEAR(a[i], i < b.size() ? b[i] : 0.0, tolerance) << "number " << i;
      }
    }
  }
}

TEST(CudaAttention, RefusesWhatItHasNoRoomFor) {
  auto made = make_cuda_backend({.threads = 1});
  if (!made.ok()) GTEST_SKIP() << made.status().message();
  Backend& cuda = **made;
  EXPECT_FALSE(cuda.check_kv({1, 16, 16, false, 0, 1, DType::kF32}).ok());
  EXPECT_FALSE(cuda.check_kv({1, 16, 16, false, 16, 1, DType::kF16}).ok());
  EXPECT_FALSE(cuda.check_kv({1, 1000, 16, false, 16, 1, DType::kBf16}).ok());
  EXPECT_TRUE(cuda.check_kv({1, 16, 16, false, 5, 1, DType::kBf16}).ok());
  EXPECT_FALSE(cuda.check_kv({1, 16, 16, false, 16, 1, DType::kF32, KvPacking::kInt8}).ok());
}

}  // namespace
}  // namespace polymath::backend
