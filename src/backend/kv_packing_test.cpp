#include "backend/kv_packing.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace polymath::backend {
namespace {

TEST(KvPacking, NamesAreFoundAndGivenBack) {
  for (const char* name : {"float32", "bfloat16", "fp8_e4m3", "fp8_e5m2", "int8"}) {
    ASSERT_TRUE(KvType::named(name).has_value()) << name;
    EXPECT_EQ(KvType::named(name)->name(), name);
  }
  EXPECT_EQ(KvType::named("fp8")->name(), "fp8_e4m3");
  EXPECT_FALSE(KvType::named("float16").has_value());
}

// Every code but those of NaN and infinity is itself after decoding and encoding, and exact in bf16.
TEST(KvPacking, CodesRoundTrip) {
  for (const KvPacking packing : {KvPacking::kE4M3, KvPacking::kE5M2, KvPacking::kInt8}) {
    const KvCodec& codec = kv_codec(packing);
    int n = 0;
    for (int code = 0; code < 256; ++code) {
      const float v = codec.decode(static_cast<uint8_t>(code));
      if (!(std::abs(v) <= codec.largest)) continue;
      ++n;
      EXPECT_EQ(codec.encode(v), code) << v;
      EXPECT_EQ(tensor::bf16_to_f32(tensor::f32_to_bf16(v)), v);
    }
    EXPECT_GE(n, 248);
    EXPECT_EQ(codec.decode(codec.encode(codec.largest)), codec.largest);
  }
}

// The nearest code, of two the even one.
TEST(KvPacking, ValuesAreRoundedToTheNearest) {
  for (const KvPacking packing : {KvPacking::kE4M3, KvPacking::kE5M2, KvPacking::kInt8}) {
    const KvCodec& codec = kv_codec(packing);
    for (int code = 0; code < 0x7a; ++code) {
      const float low = codec.decode(static_cast<uint8_t>(code)), high = codec.decode(static_cast<uint8_t>(code + 1));
      EXPECT_EQ(codec.encode(low + (high - low) * 0.45f), code);
      EXPECT_EQ(codec.encode(low + (high - low) * 0.55f), code + 1);
      EXPECT_EQ(codec.encode((low + high) / 2) % 2, 0) << static_cast<int>(packing) << " " << code;
    }
  }
}

TEST(KvPacking, ScalesMapTheLargestValue) {
  const KvCodec& codec = kv_codec(KvPacking::kInt8);
  EXPECT_EQ(kv_scale(254, codec), 2);
  EXPECT_EQ(kv_scale(0, codec), 0);
  EXPECT_TRUE(std::isnan(kv_scale(std::numeric_limits<float>::infinity(), codec)));
  EXPECT_TRUE(std::isnan(kv_scale(std::numeric_limits<float>::quiet_NaN(), codec)));
}

}  // namespace
}  // namespace polymath::backend
