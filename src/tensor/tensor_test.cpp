#include "tensor/tensor.h"

#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <utility>
#include <vector>

#include "gtest/gtest.h"

namespace polymath::tensor {
namespace {

uint32_t bits(float v) { return std::bit_cast<uint32_t>(v); }

TEST(DType, NamesAndSizes) {
  const std::tuple<DType, const char*, size_t> rows[] = {{DType::kF32, "float32", 4},   {DType::kF16, "float16", 2},
                                                         {DType::kBf16, "bfloat16", 2}, {DType::kI32, "int32", 4},
                                                         {DType::kI64, "int64", 8},     {DType::kU8, "uint8", 1},
                                                         {DType::kF64, "float64", 8}};
  for (const auto& [dtype, name, bytes] : rows) {
    EXPECT_EQ(dtype_name(dtype), name);
    EXPECT_EQ(dtype_bytes(dtype), bytes);
    EXPECT_EQ(dtype_from_name(name), dtype);
    EXPECT_EQ(dtype_from_name(std::string("torch.") + name), dtype);
  }
  EXPECT_EQ(dtype_from_name("half"), DType::kF16);
  EXPECT_EQ(dtype_from_name("torch.float"), DType::kF32);
  for (const char* none : {"", "torch.", "torch", "float128", "BF16", "bfloat16 "}) EXPECT_FALSE(dtype_from_name(none));
}

TEST(Shape, CountsAndCompares) {
  EXPECT_EQ(Shape{}.elements(), 1);
  EXPECT_EQ(Shape{}.text(), "[]");
  EXPECT_EQ((Shape{3, 0, 5}.elements()), 0);
  EXPECT_EQ((Shape{2, 3, 4, 5}.elements()), 120);
  EXPECT_EQ((Shape{64, 128}.text()), "[64, 128]");
  EXPECT_TRUE((Shape{2, 3} == Shape{2, 3}));
  EXPECT_FALSE((Shape{2, 3} == Shape{3, 2}));
  EXPECT_FALSE((Shape{2} == Shape{2, 1}));
  EXPECT_DEATH(Shape({1, 2, 3, 4, 5, 6, 7, 8, 9}), "CHECK|check");
}

TEST(Tensor, Views) {
  std::vector<float> data(24);
  for (size_t i = 0; i < data.size(); ++i) data[i] = static_cast<float>(i);
  const Tensor t{DType::kF32, {4, 3, 2}, data.data()};
  EXPECT_EQ(t.rows(), 4);
  EXPECT_EQ(t.cols(), 6);
  EXPECT_EQ(t.bytes(), 96u);
  const Tensor rows = t.slice_rows(1, 2);
  EXPECT_EQ(rows.shape, (Shape{2, 3, 2}));
  EXPECT_EQ(rows.f32()[0], 6);
  EXPECT_EQ(t.slice_rows(4, 0).shape.elements(), 0);
  EXPECT_EQ(t.reshape({6, 4}).f32()[23], 23);
  EXPECT_EQ((Tensor{DType::kF32, {0, 7}, nullptr}.cols()), 7);
  EXPECT_EQ((Tensor{DType::kF32, {9}, nullptr}.cols()), 1);
  EXPECT_DEATH(t.slice_rows(3, 2), "CHECK|check");
  EXPECT_DEATH(t.reshape({5, 5}), "CHECK|check");
  EXPECT_DEATH(t.i32(), "CHECK|check");
}

TEST(Buffer, IsZeroedAlignedAndGivenBack) {
  for (const size_t bytes :
       {size_t{0}, size_t{1}, size_t{4096}, (size_t{2} << 20) - 64, size_t{2} << 20, size_t{5000000}}) {
    auto made = Buffer::host(bytes);
    ASSERT_TRUE(made.ok()) << made.status();
    EXPECT_GE(made->bytes(), bytes + 64);  // room for a vector load past the end
    const auto* data = static_cast<unsigned char*>(made->data());
    EXPECT_EQ(reinterpret_cast<uintptr_t>(data) % (bytes >= (2u << 20) ? 2u << 20 : 64u), 0u) << bytes;
    for (size_t i = 0; i < made->bytes(); i += 97) ASSERT_EQ(data[i], 0);
    std::memset(made->data(), 1, made->bytes());
  }
  for (const size_t bytes : {SIZE_MAX, SIZE_MAX - 64, SIZE_MAX / 2}) {
    EXPECT_EQ(Buffer::host(bytes).status().code(), absl::StatusCode::kResourceExhausted);
  }
}

TEST(Buffer, AMoveFreesWhatWasThere) {
  static int freed = 0;
  const auto count = [](void*, size_t) { ++freed; };
  int memory[2];
  Buffer a(&memory[0], 4, count), b(&memory[1], 4, count);
  a = std::move(b);
  EXPECT_EQ(freed, 1);
  EXPECT_EQ(a.data(), &memory[1]);
  EXPECT_EQ(b.data(), nullptr);
  const Buffer c(std::move(a));
  EXPECT_EQ(freed, 1);
}

// Every 16-bit pattern survives the way through f32; NaN stays NaN, of its sign.
TEST(Conversions, EveryHalfAndBfloatRoundTrips) {
  for (uint32_t i = 0; i < 0x10000; ++i) {
    const auto v = static_cast<uint16_t>(i);
    const float h = f16_to_f32(v), b = bf16_to_f32(v);
    EXPECT_EQ(std::signbit(h), i >= 0x8000);
    EXPECT_EQ(std::signbit(b), i >= 0x8000);
    EXPECT_EQ(std::isnan(h), (i & 0x7fff) > 0x7c00);
    EXPECT_EQ(std::isnan(b), (i & 0x7fff) > 0x7f80);
    if (std::isnan(h)) {
      EXPECT_TRUE(std::isnan(f16_to_f32(f32_to_f16(h))));
      EXPECT_EQ(f32_to_f16(h) >> 15, v >> 15);
    } else {
      ASSERT_EQ(f32_to_f16(h), v);
    }
    if (std::isnan(b)) {
      EXPECT_TRUE(std::isnan(bf16_to_f32(f32_to_bf16(b))));
      EXPECT_EQ(f32_to_bf16(b) >> 15, v >> 15);
    } else {
      ASSERT_EQ(f32_to_bf16(b), v);
    }
  }
}

// Between two neighbours the nearer one is taken; in the middle, the even one.
template <float (*ToFloat)(uint16_t), uint16_t (*FromFloat)(float)>
void expect_nearest_even(uint16_t infinity, float past_the_largest) {
  for (uint16_t v = 0; v < infinity; ++v) {
    const float low = ToFloat(v);
    const auto next = static_cast<uint16_t>(v + 1);
    const float high = next == infinity ? past_the_largest : ToFloat(next);
    if (std::isinf(high)) continue;
    const float middle = static_cast<float>((double{low} + double{high}) / 2);
    const uint16_t even = v % 2 == 0 ? v : next;
    for (const uint16_t sign : {uint16_t{0}, uint16_t{0x8000}}) {
      const float s = sign == 0 ? 1.0f : -1.0f;
      ASSERT_EQ(FromFloat(s * middle), even | sign) << v;
      ASSERT_EQ(FromFloat(s * std::nextafter(middle, 0.0f)), v | sign) << v;
      ASSERT_EQ(FromFloat(s * std::nextafter(middle, INFINITY)), next | sign) << v;
    }
  }
}

TEST(Conversions, RoundToNearestEven) {
  expect_nearest_even<f16_to_f32, f32_to_f16>(0x7c00, 65536.0f);
  expect_nearest_even<bf16_to_f32, f32_to_bf16>(0x7f80, INFINITY);
}

TEST(Conversions, Edges) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  EXPECT_EQ(f32_to_f16(kInfinity), 0x7c00);
  EXPECT_EQ(f32_to_f16(-kInfinity), 0xfc00);
  EXPECT_EQ(f32_to_f16(65504), 0x7bff);
  EXPECT_EQ(f32_to_f16(std::numeric_limits<float>::max()), 0x7c00);
  EXPECT_EQ(f32_to_f16(std::numeric_limits<float>::denorm_min()), 0);
  EXPECT_EQ(f32_to_bf16(std::numeric_limits<float>::max()), 0x7f80);
  EXPECT_EQ(f32_to_bf16(kInfinity), 0x7f80);
  EXPECT_TRUE(std::isnan(bf16_to_f32(f32_to_bf16(std::bit_cast<float>(0x7f800001u)))));  // its payload is below
  EXPECT_TRUE(std::isnan(f16_to_f32(f32_to_f16(std::bit_cast<float>(0xffffffffu)))));
  EXPECT_EQ(bits(f16_to_f32(0x8000)), 0x80000000u);
  EXPECT_EQ(f16_to_f32(1), std::ldexp(1.0f, -24));
}

}  // namespace
}  // namespace polymath::tensor
