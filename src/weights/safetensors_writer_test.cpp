#include "weights/safetensors_writer.h"

#include <gtest/gtest.h>

#include "weights/safetensors_header.h"
#include "weights/test_files.h"

namespace polymath::weights {
namespace {

TEST(SafetensorsWriter, TheHeaderReadsBackWithAlignedTensors) {
  const std::vector<NewTensor> tensors = {
      {"codes", "F8_E4M3", {3, 5}, 15}, {"scale", "F32", {1}, 4}, {"shape", "I64", {2}, 16}, {"empty", "BF16", {0}, 0}};
  const SafetensorsLayout layout = lay_out_safetensors(tensors);
  std::string file = layout.header;
  file.resize(layout.bytes);
  const auto read = read_safetensors_header(bytes_of(file), "file", {});
  ASSERT_TRUE(read.ok()) << read.status();
  ASSERT_EQ(read->size(), tensors.size());
  const size_t sorted[] = {0, 3, 1, 2};  // by name
  const uint64_t elements[] = {1, 4, 8, 1};
  for (size_t i = 0; i < tensors.size(); ++i) {
    const StoredTensor& t = (*read)[i];
    const NewTensor& wanted = tensors[sorted[i]];
    EXPECT_EQ(t.name, wanted.name);
    EXPECT_EQ(t.stored_dtype, wanted.type);
    EXPECT_EQ(t.shape, wanted.shape);
    EXPECT_EQ(t.begin, layout.places[sorted[i]]);
    EXPECT_EQ(t.end - t.begin, wanted.bytes);
    EXPECT_EQ(t.begin % elements[sorted[i]], 0u) << t.name;
  }
}

}  // namespace
}  // namespace polymath::weights
