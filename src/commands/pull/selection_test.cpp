// Which files of a repository are downloaded.

#include "commands/pull/selection.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace polymath::commands {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using Names = std::vector<std::string>;

absl::StatusOr<Selection> select(const Names& names, const std::string& file = "", const std::string& quant = "") {
  std::vector<HubFile> files;
  for (const std::string& name : names) files.push_back({.path = name});
  return select_files(files, {"org/m", file, quant});
}

Names chosen(const Names& names, const std::string& file = "", const std::string& quant = "") {
  const auto selection = select(names, file, quant);
  EXPECT_TRUE(selection.ok()) << selection.status();
  Names out;
  for (const HubFile& chosen : selection->files) out.push_back(chosen.path);
  return out;
}

TEST(Selection, Safetensors) {
  const Names names = {"README.md",
                       "a.jinja",
                       "config.json",
                       "merges.txt",
                       "model.safetensors",
                       "onnx/model.onnx",
                       "original/params.json",
                       "p.bin",
                       "q.gguf",
                       "sub/x.safetensors",
                       "tokenizer.model"};
  EXPECT_THAT(chosen(names),
              ElementsAre("a.jinja", "config.json", "merges.txt", "model.safetensors", "tokenizer.model"));
  EXPECT_THAT(select(names)->pickles, ElementsAre("p.bin"));
}

TEST(Selection, MistralsSecondCopy) {
  EXPECT_THAT(chosen({"consolidated.safetensors", "model-00001-of-00001.safetensors"}),
              ElementsAre("model-00001-of-00001.safetensors"));
  EXPECT_THAT(chosen({"consolidated.safetensors", "params.json"}),
              ElementsAre("consolidated.safetensors", "params.json"));
}

TEST(Selection, Gguf) {
  const Names names = {"Q8_0/m-Q8_0-00001-of-00002.gguf",
                       "Q8_0/m-Q8_0-00002-of-00002.gguf",
                       "config.json",
                       "m-IQ4_XS.gguf",
                       "m.q4_k_m.gguf",
                       "mmproj-m-f16.gguf"};
  EXPECT_THAT(chosen(names, "", "Q8_0"), ElementsAre(names[0], names[1]));
  EXPECT_THAT(chosen(names, names[1]), ElementsAre(names[0], names[1]));
  EXPECT_THAT(chosen(names, "", "Q4_K_M"), ElementsAre("m.q4_k_m.gguf"));
  EXPECT_THAT(chosen(names, "mmproj-m-f16.gguf"), ElementsAre("mmproj-m-f16.gguf"));
  EXPECT_THAT(chosen({"config.json", "m-Q8_0.gguf", "mmproj-f16.gguf"}), ElementsAre("m-Q8_0.gguf"));
}

TEST(Selection, Refusals) {
  using enum absl::StatusCode;
  struct Case {
    Names names;
    const char* file;
    const char* quant;
    absl::StatusCode code;
    const char* sentence;
  };
  const Case cases[] = {
      {{"a.gguf", "b.gguf"}, "", "", kInvalidArgument, "org/m:QUANT: a.gguf, b.gguf"},
      {{"a-Q8_0.gguf", "b-q8_0.gguf"}, "", "Q8_0", kInvalidArgument, "several GGUF models"},
      {{"a-Q4_K_M.gguf"}, "", "Q4_K", kNotFound, "it has: a-Q4_K_M.gguf"},
      {{"a.gguf"}, "b.gguf", "", kNotFound, "has no file b.gguf"},
      {{"a.safetensors"}, "a.safetensors", "", kInvalidArgument, "only a GGUF file"},
      {{"a-00001-of-00002.gguf"}, "", "", kNotFound, "a-00002-of-00002.gguf is missing"},
      {{"config.json", "pytorch_model.bin", "x/y.pt"}, "", "", kFailedPrecondition, "pytorch_model.bin, x/y.pt"},
      {{"config.json"}, "", "", kNotFound, "has no weights"},
  };
  for (const Case& c : cases) {
    const auto selection = select(c.names, c.file, c.quant);
    EXPECT_EQ(selection.status().code(), c.code) << selection.status();
    EXPECT_THAT(std::string(selection.status().message()), HasSubstr(c.sentence));
  }
}

}  // namespace
}  // namespace polymath::commands
