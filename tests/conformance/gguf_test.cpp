// Models from GGUF files of another writer (tools/make_gguf_cases.py). The F16 file is the conformance model, bit for
// bit. The Q8_0 file, kept packed, is the model of the unpacked values.

#include <gtest/gtest.h>

#include <cmath>

#include "base/json.h"
#include "runner.h"
#include "unpacked.h"

namespace polymath::conformance {
namespace {

constexpr const char* kModel = "qwen2-moe";

std::string gguf_path(const std::string& type) { return model_directory("../gguf/") + kModel + "-" + type + ".gguf"; }

struct Device {
  std::string backend, isa;
};

void PrintTo(const Device& d, std::ostream* out) { *out << d.backend << " " << d.isa; }

std::vector<Device> devices() {
  std::vector<Device> out = {{"reference", ""}};
  for (const char* isa : {"portable", "avx2", "avx512", "amx"}) {
    if (backend::make_backend("cpu", {.threads = 1, .isa = isa}).ok()) out.push_back({"cpu", isa});
  }
  if (backend::make_backend("cuda", {.threads = 1}).ok()) out.push_back({"cuda", ""});
  return out;
}

class Gguf : public testing::TestWithParam<Device> {
 protected:
  RunnerOptions options(tensor::DType dtype) const {
    return {.backend = GetParam().backend, .isa = GetParam().isa, .dtype = dtype};
  }
  static std::vector<float> logits(absl::StatusOr<std::unique_ptr<Runner>> runner, const Reference& r) {
    EXPECT_TRUE(runner.ok()) << runner.status();
    if (!runner.ok()) return {};
    Runner::Sequence s{r.ids};
    const auto rows = (*runner)->step({&s}, 0);
    EXPECT_TRUE(rows.ok()) << rows.status();
    return {rows->end() - static_cast<ptrdiff_t>(r.logits.size()), rows->end()};
  }
};

INSTANTIATE_TEST_SUITE_P(All, Gguf, testing::ValuesIn(devices()),
                         [](const auto& info) { return info.param.backend + info.param.isa; });

TEST_P(Gguf, InF16IsTheCheckpointItWasMadeFrom) {
  const auto references = *read_references(kModel, 320);
  for (const Reference& r : references) {
    const auto got = logits(Runner::create(gguf_path("f16"), options(tensor::DType::kF32)), r);
    const auto same = logits(Runner::create(model_directory(kModel), options(tensor::DType::kF32)), r);
    ASSERT_EQ(got.size(), r.logits.size());
    EXPECT_EQ(got, same);
    for (size_t i = 0; i < got.size(); ++i) ASSERT_NEAR(got[i], r.logits[i], 1e-3) << i;
  }
}

// Reference and CPU unpack in registers and sum in the same order: bit for bit. A device that unpacks at load to f32
// does, too.
TEST_P(Gguf, InQ8_0IsTheModelOfTheUnpackedValues) {
  const auto files = weights::open_model_files(gguf_path("q8_0"));
  ASSERT_TRUE(files.ok()) << files.status();
  const auto references = *read_references(kModel, 320);
  for (const Reference& r : references) {
    const auto packed = logits(Runner::create(gguf_path("q8_0"), options(tensor::DType::kF32)), r);
    Unpacked unpacked(*(*files)->open_checkpoint());
    const auto plain = logits(Runner::create(*model::read_config(**files), unpacked, options(tensor::DType::kF32)), r);
    EXPECT_EQ(packed, plain);
    double difference = 0, norm = 0;
    for (size_t i = 0; i < packed.size(); ++i) {
      difference += std::pow(packed[i] - r.logits[i], 2);
      norm += std::pow(r.logits[i], 2);
    }
    EXPECT_GT(difference, 0);  // it is another model than the one it was packed from
    EXPECT_LT(std::sqrt(difference / norm), 0.2);
  }
}

// In bfloat16 activations are rounded, packed weights are not.
TEST_P(Gguf, InQ8_0RunsWithBfloat16Activations) {
  const auto references = *read_references(kModel, 320);
  const Reference& r = references[1];
  const auto exact = logits(Runner::create(gguf_path("q8_0"), options(tensor::DType::kF32)), r);
  const auto rounded = logits(Runner::create(gguf_path("q8_0"), options(tensor::DType::kBf16)), r);
  double difference = 0, norm = 0;
  for (size_t i = 0; i < exact.size(); ++i) {
    difference += std::pow(rounded[i] - exact[i], 2);
    norm += std::pow(exact[i], 2);
  }
  EXPECT_GT(difference, 0);
  EXPECT_LT(std::sqrt(difference / norm), 0.15);  // a near-tie of the router may choose another expert
}

// The first and last four values of every packed tensor, as the writer's own decoder gives them.
TEST(GgufValues, AreThoseOfTheWriter) {
  const auto samples = base::read_json_file(model_directory("../gguf/q8_0.json"), {});
  ASSERT_TRUE(samples.ok()) << samples.status();
  const auto checkpoint = *(*weights::open_model_files(gguf_path("q8_0")))->open_checkpoint();
  int packed = 0;
  for (const weights::TensorInfo& info : checkpoint->tensors()) {
    if (info.format->plain()) continue;
    ++packed;
    const auto raw = checkpoint->read(info.name, info.shape);
    ASSERT_TRUE(raw.ok()) << raw.status();
    std::vector<float> values(static_cast<size_t>(info.shape.elements()));
    raw->format->dequantize({raw->data}, 0, values.data(), info.shape.elements());
    const base::JsonArray& expected = samples->at(info.name).get_array();
    for (size_t i = 0; i < 4; ++i) {
      EXPECT_EQ(values[i], static_cast<float>(expected[i].to_number<double>())) << info.name;
      EXPECT_EQ(values[values.size() - 4 + i], static_cast<float>(expected[4 + i].to_number<double>())) << info.name;
    }
  }
  EXPECT_EQ(packed, static_cast<int>(samples->get_object().size()));
  EXPECT_GT(packed, 20);
}

}  // namespace
}  // namespace polymath::conformance
