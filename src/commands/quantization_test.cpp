#include "commands/quantization.h"

#include <gtest/gtest.h>

namespace polymath::commands {
namespace {

TEST(Quantization, PacksPlainCheckpoints) {
  const auto int8 = formats_to_pack_to("int8", "");
  ASSERT_TRUE(int8.ok()) << int8.status();
  ASSERT_EQ(int8->size(), 2u);
  EXPECT_EQ((*int8)[0]->name, "int8_g128");  // where rows are whole blocks of it
  for (const char* name : {"int8", "fp8", "mxfp4", "q8_0", "q4_k"}) {
    EXPECT_TRUE(check_quantization(name).ok());
    const auto formats = formats_to_pack_to(name, "");
    ASSERT_TRUE(formats.ok() && !formats->empty());
    for (const quant::QuantFormat* format : *formats) EXPECT_NE(format->quantize, nullptr) << name;
  }
}

TEST(Quantization, NamesTheCheckpointsOwnScheme) {
  for (const auto& [value, scheme] : {std::pair{"gptq", "gptq"}, {"awq_marlin", "awq"}, {"fp8", "fp8"}, {"", "awq"}}) {
    EXPECT_TRUE(check_quantization(value).ok()) << value;
    const auto formats = formats_to_pack_to(value, scheme);
    EXPECT_TRUE(formats.ok() && formats->empty()) << value;
  }
  EXPECT_EQ(formats_to_pack_to("int8", "gptq").status().message(),
            "--quantization int8: the checkpoint is quantised already, by gptq");
  EXPECT_EQ(formats_to_pack_to("awq", "").status().message(), "--quantization awq: the checkpoint is not quantised");
  EXPECT_FALSE(check_quantization("quip").ok());
}

}  // namespace
}  // namespace polymath::commands
