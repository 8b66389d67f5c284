#include <cmath>
#include <cstring>
#include <thread>
#include <vector>

#include "gtest/gtest.h"
#include "quant/format.h"
#include "weights/checkpoint.h"

namespace polymath::weights {
namespace {

using tensor::DType;

std::vector<float> values(Checkpoint& checkpoint, std::string_view name, const tensor::Shape& shape) {
  const auto t = checkpoint.read(name, shape);
  CHECK(t.ok());
  std::vector<float> out(static_cast<size_t>(shape.elements()));
  t->format->dequantize({t->data}, 0, out.data(), shape.elements());
  return out;
}

TEST(Dummy, IsNormalInEveryType) {
  for (const DType dtype : {DType::kF32, DType::kF16, DType::kBf16}) {
    const auto checkpoint = dummy_checkpoint(7, dtype, 0.02f);
    const std::vector<float> v = values(*checkpoint, "w", {1000, 1000});
    double m1 = 0, m2 = 0, m4 = 0;
    for (const double x : v) {
      m1 += x / 0.02;
      m2 += x * x / (0.02 * 0.02);
      m4 += x * x * x * x / (0.02 * 0.02 * 0.02 * 0.02);
    }
    const double n = static_cast<double>(v.size());
    EXPECT_NEAR(m1 / n, 0, 4e-3) << tensor::dtype_name(dtype);
    EXPECT_NEAR(m2 / n, 1, 1e-2) << tensor::dtype_name(dtype);
    EXPECT_NEAR(m4 / n, 3, 6e-2) << tensor::dtype_name(dtype);
    // Neighbours are uncorrelated, within a word and across words.
    for (const size_t lag : {1, 2, 3, 4, 1000}) {
      double c = 0;
      for (size_t i = lag; i < v.size(); ++i) c += double{v[i]} * v[i - lag] / (0.02 * 0.02);
      EXPECT_NEAR(c / n, 0, 5e-3) << lag;
    }
  }
}

TEST(Dummy, SaysWhatItMakes) {
  for (const DType dtype : {DType::kF32, DType::kF16, DType::kBf16}) {
    EXPECT_EQ(stored_format(*dummy_checkpoint(7, dtype), "w"), &quant::plain_format(dtype));
  }
}

TEST(Dummy, IsAFunctionOfSeedAndName) {
  const auto one = dummy_checkpoint(1, DType::kBf16), again = dummy_checkpoint(1, DType::kBf16);
  const auto other = dummy_checkpoint(2, DType::kBf16);
  again->read("first", {64, 64}).IgnoreError();  // the order of reads does not matter
  const auto a = values(*one, "a", {30, 7});
  EXPECT_EQ(a, values(*again, "a", {30, 7}));
  EXPECT_NE(a, values(*other, "a", {30, 7}));
  EXPECT_NE(a, values(*one, "b", {30, 7}));
  one->release("a");
  EXPECT_EQ(a, values(*one, "a", {30, 7}));
  // A longer tensor begins with the values of a shorter one.
  again->release("a");
  const auto longer = values(*again, "a", {31, 7});
  EXPECT_TRUE(std::equal(a.begin(), a.end(), longer.begin()));
  EXPECT_EQ(values(*dummy_checkpoint(1, DType::kF32), "a", {2, 2})[0] == 0, a[0] == 0);
}

// Every machine and build makes these values. Others would change all results measured with dummy weights.
TEST(Dummy, IsTheSameEverywhere) {
  const auto v = values(*dummy_checkpoint(42, DType::kF32, 1.0f), "model.embed_tokens.weight", {2, 3});
  const std::vector<float> expected = {4839 / 4096.0f,  5652 / 4096.0f,  2138 / 4096.0f,
                                       -7345 / 4096.0f, -3082 / 4096.0f, -3932 / 4096.0f};
  EXPECT_EQ(v, expected);
}

TEST(Dummy, NormsAreOneAndBiasesSmall) {
  const auto checkpoint = dummy_checkpoint(1, DType::kBf16, 0.02f);
  for (const char* name :
       {"model.norm.weight", "l.0.input_layernorm.weight", "l.norm_1.weight", "q_a_layernorm.weight"}) {
    for (const float x : values(*checkpoint, name, {9})) EXPECT_EQ(x, 1.0f) << name;
  }
  for (const auto& [name, shape] :
       {std::pair<const char*, tensor::Shape>{"normal.bias", {400}}, {"q_proj.bias", {400}}}) {
    double sum = 0, most = 0;
    for (const double x : values(*checkpoint, name, shape)) sum += std::abs(x), most = std::max(most, std::abs(x));
    EXPECT_GT(sum, 0);
    EXPECT_LT(most, 0.008);
  }
  EXPECT_NE(values(*checkpoint, "norm_matrix.weight", {2, 2})[0], 1.0f);
}

TEST(Dummy, RefusesWhatCannotBe) {
  const auto checkpoint = dummy_checkpoint(1, DType::kBf16);
  EXPECT_TRUE(checkpoint->has("anything"));
  EXPECT_TRUE(checkpoint->tensors().empty());
  EXPECT_EQ(checkpoint->read("w", {-1}).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(checkpoint->read("w", {int64_t{1} << 40, int64_t{1} << 40}).status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_TRUE(checkpoint->read("w", {4}).ok());
  EXPECT_EQ(checkpoint->read("w", {5}).status().code(), absl::StatusCode::kInvalidArgument);  // still in use
  EXPECT_TRUE(checkpoint->read("empty", {0, 4}).ok());
  checkpoint->release("never read");
}

TEST(Dummy, MakesTensorsOnManyThreads) {
  const auto checkpoint = dummy_checkpoint(3, DType::kBf16), alone = dummy_checkpoint(3, DType::kBf16);
  std::vector<std::vector<float>> made(8);
  std::vector<std::thread> threads;
  for (size_t i = 0; i < made.size(); ++i) {
    threads.emplace_back([&, i] { made[i] = values(*checkpoint, "w" + std::to_string(i), {50, 99}); });
  }
  for (std::thread& t : threads) t.join();
  for (size_t i = 0; i < made.size(); ++i) EXPECT_EQ(made[i], values(*alone, "w" + std::to_string(i), {50, 99}));
}

}  // namespace
}  // namespace polymath::weights
