// Start-up errors name the faulty file, tensor or member of a model directory.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <iterator>
#include <string>

#include "absl/strings/str_cat.h"
#include "commands/served.h"
#include "weights/test_files.h"

namespace polymath::test {
namespace {

using testing::AllOf;
using testing::HasSubstr;

const std::string kStandIn = std::string(POLYMATH_STAND_IN) + "/";
constexpr char kWeights[] = "model.safetensors";

// A directory with some files of another one.
class ModelDirectory : public weights::TemporaryDirectory {
 public:
  explicit ModelDirectory(std::initializer_list<const char*> files, const std::string& from = kStandIn) {
    for (const char* file : files) std::filesystem::copy(from + file, at(file));
  }
};

std::string weights_in(const std::string& directory) {
  std::ifstream in(directory + kWeights, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

// The header's entry of `tensor`, from its name to its closing brace.
std::pair<size_t, size_t> entry_of(const std::string& file, const std::string& tensor) {
  const size_t begin = file.find("\"" + tensor + "\":");
  CHECK(begin != file.npos);
  return {begin, file.find('}', begin) - begin};
}

// `file` with one bf16 element of `tensor` replaced.
std::string with_element(std::string file, const std::string& tensor, size_t element, uint16_t bf16) {
  uint64_t header = 0;
  std::memcpy(&header, file.data(), sizeof(header));
  const auto [begin, n] = entry_of(file, tensor);
  const size_t offsets = file.find("\"data_offsets\":[", begin) + 16;
  const size_t at = sizeof(header) + header + std::stoull(file.substr(offsets, 20)) + 2 * element;
  std::memcpy(&file[at], &bf16, sizeof(bf16));
  return file;
}

absl::Status start(commands::Options options) {
  options.runtime.kv_bytes = 4 << 20;
  options.runtime.step_tokens = 128;
  options.runtime.sequences = 16;
  base::MetricsRegistry metrics;
  return commands::build_served(options, metrics).status();
}

// None of these directories has weights. Earlier errors are reported first.
TEST(Startup, ThatThereIsNoTokenizerIsSaidBeforeWeightsAreRead) {
  const ModelDirectory model({"config.json"});
  const absl::Status status = start({.model = {.name = model.path()}});
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()), HasSubstr("--skip-tokenizer-init"));
}

TEST(Startup, AWrongChatTemplateIsReportedBeforeWeightsAreRead) {
  const ModelDirectory model({"config.json", "tokenizer.json", "tokenizer_config.json"});
  const absl::Status status = start({.model = {.name = model.path()}, .text = {.chat_template = "{% if %}"}});
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr("the chat template default: "));
}

// The weights are the next thing that is missed.
TEST(Startup, EachKindOfTokenizerFileIsRead) {
  const std::string ranked = std::string(POLYMATH_SOURCE_DIR) + "/tests/conformance/data/ranked/";
  for (const std::string& file :
       {kStandIn + "tokenizer.json", ranked + "kimi/tiktoken.model", ranked + "hunyuan/hy.tiktoken",
        ranked + "llama3/tokenizer.model", ranked + "tekken_v3/tekken.json", ranked + "tekken_v13/tekken.json"}) {
    const ModelDirectory model({"config.json"});
    std::filesystem::copy(file, model.at(std::filesystem::path(file).filename().string()));
    const absl::Status status = start({.model = {.name = model.path()}});
    EXPECT_EQ(status.code(), absl::StatusCode::kNotFound) << file << ": " << status;
  }
}

// The error names the tensor whose element is not finite.
TEST(Startup, AWeightThatIsNotFiniteIsNamed) {
  constexpr uint16_t kNaN = 0x7FC0, kInfinity = 0x7F80, k100000 = 0x47C3;
  struct Case {
    std::string tensor;
    size_t element;
    uint16_t bf16;
    const char* dtype;
    std::string says;
  };
  const std::string layer = "model.layers.2.";
  const Case cases[] = {
      {layer + "block_sparse_moe.gate.weight", 300, kNaN, "auto", "(layer 2): element 300 is nan"},
      {layer + "self_attn.k_proj.weight", 0, kNaN, "auto", "(layer 2): element 0 is nan"},
      {layer + "input_layernorm.weight", 127, kInfinity, "auto", "(layer 2): element 127 is inf"},
      {"lm_head.weight", 511 * 128, kNaN, "auto", "\": element 65408 is nan"},
      {layer + "self_attn.q_proj.weight", 5000, k100000, "float16", "element 5000 is 99840, too large for float16"},
  };
  const std::string good = weights_in(kStandIn);
  for (const Case& c : cases) {
    for (const char* backend : {"cpu", "reference"}) {
      SCOPED_TRACE(absl::StrCat(c.tensor, " ", backend));
      const ModelDirectory model({"config.json", "tokenizer.json", "tokenizer_config.json"});
      model.write(kWeights, with_element(good, c.tensor, c.element, c.bf16));
      const absl::Status status =
          start({.model = {.name = model.path(), .dtype = c.dtype}, .runtime = {.backend = backend}});
      EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss) << status;
      EXPECT_THAT(std::string(status.message()), AllOf(HasSubstr("NaN or Inf"), HasSubstr("\"" + c.tensor + "\""),
                                                       HasSubstr(c.says), HasSubstr(model.at(kWeights))));
    }
  }
}

// The error of a wrong header names the file and the tensor.
TEST(Startup, AFileThatLiesIsNamedWithTheTensor) {
  const std::string ids = std::string(POLYMATH_SOURCE_DIR) + "/tests/conformance/data/models/mixtral/";
  const std::string good = weights_in(ids), tensor = "model.layers.1.block_sparse_moe.experts.3.w1.weight";
  struct Case {
    std::string from, to;  // equally long, so that the data stay where they are
    absl::StatusCode code;
  };
  using enum absl::StatusCode;
  const Case cases[] = {
      {"[48,64]", "[48,63]", kInvalidArgument},  // other bytes
      {"[48,64]", "[64,48]", kInvalidArgument},  // as many bytes
      {"F32", "F64", kInvalidArgument},          // other bytes
      {"F32", "U32", kUnimplemented},            // as many bytes
      {"F32", "I32", kInvalidArgument},          // as many bytes, of a type that is read, though not as a weight
      {"offsets\":[", "offsets\":[9", kInvalidArgument},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.to);
    std::string file = good;
    const auto [begin, n] = entry_of(file, tensor);
    const size_t at = file.find(c.from, begin);
    ASSERT_LT(at, begin + n);
    file.replace(at, c.to.size(), c.to);
    const ModelDirectory model({"config.json"}, ids);
    model.write(kWeights, file);
    const absl::Status status = start({.model = {.name = model.path()}, .text = {.skip_tokenizer = true}});
    EXPECT_EQ(status.code(), c.code) << status;
    EXPECT_THAT(std::string(status.message()), AllOf(HasSubstr(tensor), HasSubstr(model.at(kWeights))));
  }
}

TEST(Startup, AFileThatIsCutIsNamedWithTheTensor) {
  const std::string good = weights_in(kStandIn);
  const ModelDirectory model({"config.json", "tokenizer.json", "tokenizer_config.json"});
  model.write(kWeights, std::string_view(good).substr(0, good.size() - 1));
  const absl::Status cut = start({.model = {.name = model.path()}});
  EXPECT_EQ(cut.code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(std::string(cut.message()), AllOf(HasSubstr(model.at(kWeights)), HasSubstr("\"model.norm.weight\"")));
  model.write(kWeights, good + "?");
  const absl::Status more = start({.model = {.name = model.path()}});
  EXPECT_EQ(more.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(more.message()), AllOf(HasSubstr(model.at(kWeights)), HasSubstr("\"model.norm.weight\"")));
}

}  // namespace
}  // namespace polymath::test
