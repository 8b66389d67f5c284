// Checkpoints as transformers wrote them, against its greedy tokens and their logprobs in float32.
//
// Cases are directories: a model, and reference.safetensors with prompt{0,1,2}.{ids, greedy, margin, logprob}. They lie
// in data/checkpoints; POLYMATH_CASES names a folder of more.

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "runner.h"

namespace polymath::conformance {
namespace {

constexpr double kTolerance = 1e-3;  // of logprobs; a smaller margin decides nothing

struct Greedy {
  std::vector<int32_t> ids, tokens;
  std::vector<float> margin, logprob;
};

template <typename T>
void read_all(weights::Checkpoint& file, const std::string& name, std::vector<T>& out) {
  const weights::TensorInfo* info = weights::find_tensor(file, name);
  ASSERT_NE(info, nullptr) << name;
  const auto raw = file.read(name, info->shape);
  ASSERT_TRUE(raw.ok()) << raw.status();
  out.resize(static_cast<size_t>(info->shape.elements()));
  ASSERT_EQ(info->bytes, out.size() * sizeof(T));
  std::memcpy(out.data(), raw->data, info->bytes);
}

std::vector<Greedy> references(const std::string& directory) {
  std::vector<Greedy> out(3);
  const std::string path = directory + "/reference.safetensors";
  std::ifstream in(path, std::ios::binary);
  const std::string bytes((std::istreambuf_iterator<char>(in)), {});
  const auto file = weights::parse_safetensors(std::as_bytes(std::span(bytes)), {});
  EXPECT_TRUE(file.ok()) << path << ": " << file.status();
  for (size_t i = 0; file.ok() && i < out.size(); ++i) {
    const std::string p = absl::StrCat("prompt", i, ".");
    read_all(**file, p + "ids", out[i].ids);
    read_all(**file, p + "greedy", out[i].tokens);
    read_all(**file, p + "margin", out[i].margin);
    read_all(**file, p + "logprob", out[i].logprob);
  }
  return out;
}

void expect_greedy(Runner& runner, const Greedy& reference) {
  Runner::Sequence s{reference.ids};
  for (size_t n = 0; n < reference.tokens.size(); ++n) {
    const auto rows = runner.step({&s}, 0);
    ASSERT_TRUE(rows.ok()) << rows.status();
    const float *end = rows->data() + rows->size(), *row = end - runner.vocab();
    const auto best = static_cast<int32_t>(std::max_element(row, end) - row);
    double sum = 0;
    for (const float* v = row; v != end; ++v) sum += std::exp(*v - row[best]);
    const int32_t token = reference.tokens[n];
    ASSERT_NEAR(row[token] - row[best] - std::log(sum), reference.logprob[n], kTolerance) << "step " << n;
    ASSERT_TRUE(token == best || reference.margin[n] < kTolerance) << "step " << n;
    if (token != best) return;
    s.tokens.push_back(token);
  }
}

std::vector<std::string> cases() {
  std::vector<std::string> out;
  const char* more = std::getenv("POLYMATH_CASES");
  for (const std::string& folder : {model_directory("../checkpoints"), std::string(more == nullptr ? "" : more)}) {
    if (folder.empty()) continue;
    for (const auto& entry : std::filesystem::directory_iterator(folder)) {
      if (std::filesystem::exists(entry.path() / "reference.safetensors")) out.push_back(entry.path());
    }
  }
  std::sort(out.begin(), out.end());
  return out;
}

TEST(Cases, GiveTheReferencesTokens) {
  ASSERT_FALSE(cases().empty());
  for (const std::string& directory : cases()) {
    SCOPED_TRACE(directory);
    const auto runner = Runner::create(directory, {.backend = "cpu"});
    EXPECT_TRUE(runner.ok()) << runner.status();
    if (!runner.ok()) continue;
    for (const Greedy& reference : references(directory)) expect_greedy(**runner, reference);
  }
}

}  // namespace
}  // namespace polymath::conformance
