// Compares every conformance model with transformers' logits and greedy tokens, on each backend.
// Prompts run whole, in chunks of 7, and in batches. Tolerance: float32 1e-3, bfloat16 2e-2 by norm.

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "runner.h"

namespace polymath::conformance {
namespace {

struct Case {
  std::string model, backend, isa;
};

void PrintTo(const Case& c, std::ostream* out) { *out << c.model << " on " << c.backend << " " << c.isa; }

std::vector<Case> cases() {
  std::vector<Case> out;
  const bool cuda = backend::make_backend("cuda", {.threads = 1}).ok();  // built, and a GPU is there
  for (const auto& model : model_names()) {
    out.push_back({model, "reference", ""});
    for (const char* isa : {"portable", "avx2", "avx512", "amx"}) {
      if (backend::make_backend("cpu", {.threads = 1, .isa = isa}).ok()) out.push_back({model, "cpu", isa});
    }
    if (cuda) out.push_back({model, "cuda", ""});
  }
  return out;
}

class Models : public testing::TestWithParam<Case> {
 protected:
  std::unique_ptr<Runner> make(tensor::DType dtype) {
    auto runner = Runner::create(model_directory(GetParam().model),
                                 {.backend = GetParam().backend, .isa = GetParam().isa, .dtype = dtype});
    const bool lacks_op = GetParam().backend == "cuda" && absl::IsUnimplemented(runner.status());
    EXPECT_TRUE(runner.ok() || lacks_op) << runner.status();
    return runner.ok() ? *std::move(runner) : nullptr;
  }
  std::vector<Reference> references(const Runner& runner) {
    auto r = read_references(GetParam().model, runner.vocab());
    EXPECT_TRUE(r.ok()) << r.status();
    return r.ok() ? *std::move(r) : std::vector<Reference>{};
  }
};

// Logits of the last rows, the prompt given `chunk` tokens at a time.
std::vector<float> prefill(Runner& runner, const Reference& r, int chunk) {
  Runner::Sequence s{r.ids};
  std::vector<float> all;
  while (s.computed < static_cast<int>(r.ids.size())) {
    const auto rows = runner.step({&s}, chunk);
    EXPECT_TRUE(rows.ok()) << rows.status();
    all.insert(all.end(), rows->begin(), rows->end());
  }
  return {all.end() - static_cast<ptrdiff_t>(r.logits.size()), all.end()};
}

float largest_difference(const std::vector<float>& a, const std::vector<float>& b) {
  float worst = 0;
  for (size_t i = 0; i < a.size(); ++i) worst = std::isfinite(a[i]) ? std::max(worst, std::abs(a[i] - b[i])) : INFINITY;
  return worst;
}

// |a - b| / |b| of each row of logits, ascending.
std::vector<double> row_errors(const std::vector<float>& a, const std::vector<float>& b, int vocab) {
  std::vector<double> errors;
  for (size_t begin = 0; begin < b.size(); begin += vocab) {
    double difference = 0, norm = 0;
    for (size_t i = begin; i < begin + vocab; ++i) {
      difference += std::pow(a[i] - b[i], 2);
      norm += std::pow(b[i], 2);
    }
    errors.push_back(std::sqrt(difference / norm));
  }
  std::sort(errors.begin(), errors.end());
  return errors;
}

int argmax(const float* row, int n) { return static_cast<int>(std::max_element(row, row + n) - row); }

TEST_P(Models, LogitsInFloat32) {
  auto runner = make(tensor::DType::kF32);
  if (runner == nullptr) GTEST_SKIP() << "this backend lacks one of the model's ops";
  for (const auto& r : references(*runner)) {
    for (const int chunk : {0, 7}) {
      EXPECT_LT(largest_difference(prefill(*runner, r, chunk), r.logits), 1e-3)
          << r.ids.size() << " tokens, chunk " << chunk;
    }
  }
}

void expect_greedy(Runner& runner, const std::vector<Reference>& refs) {
  std::vector<Runner::Sequence> sequences;
  for (const auto& r : refs) sequences.push_back({r.ids});
  std::vector<bool> open(refs.size(), true);
  for (size_t n = 0; n < refs[0].greedy.size(); ++n) {
    std::vector<size_t> computed;
    std::vector<Runner::Sequence*> all;
    for (auto& s : sequences) {
      computed.push_back(s.tokens.size() - s.computed);
      all.push_back(&s);
    }
    const auto rows = runner.step(all, 0);
    ASSERT_TRUE(rows.ok()) << rows.status();
    const float* row = rows->data();
    for (size_t i = 0; i < refs.size(); ++i) {
      row += computed[i] * runner.vocab();
      const int token = argmax(row - runner.vocab(), runner.vocab());
      EXPECT_TRUE(!open[i] || token == refs[i].greedy[n]) << "prompt " << i << ", step " << n;
      open[i] = open[i] && refs[i].margin[n] >= 1e-3;
      sequences[i].tokens.push_back(refs[i].greedy[n]);
    }
  }
}

TEST_P(Models, GreedyInABatchOfMixedLengths) {
  auto runner = make(tensor::DType::kF32);
  if (runner == nullptr) GTEST_SKIP() << "this backend lacks one of the model's ops";
  expect_greedy(*runner, references(*runner));
}

// In bf16 a near-tie of a router may select another expert, which changes a row far more than rounding does. Random
// weights have such near-ties in every MoE model. So the bound holds for a MoE model's best row, and for all rows of
// a dense model.
TEST_P(Models, LogitsInBfloat16) {
  auto runner = make(tensor::DType::kBf16);
  if (runner == nullptr) GTEST_SKIP() << "this backend lacks one of the model's ops";
  const bool dense = runner->model().expert_load().empty();
  for (const auto& r : references(*runner)) {
    const auto logits = prefill(*runner, r, 0);
    const auto errors = row_errors(logits, r.logits, runner->vocab());
    EXPECT_LT(errors.front(), 4e-2) << r.ids.size() << " tokens";
    const double whole = row_errors(logits, r.logits, static_cast<int>(logits.size())).back();
    EXPECT_TRUE(!dense || whole < 2.2e-2) << r.ids.size() << " tokens: " << whole;
  }
}

bool too_few_devices(const absl::Status& status) { return absl::IsFailedPrecondition(status); }

struct Split {
  int ranks;
  bool whole_experts;
  int stages = 1;
};

// Ranks that do not divide heads, features or experts are refused. Of these models, only some refuse four ranks.
TEST_P(Models, RanksGiveTheLogitsOfOne) {
  auto alone = make(tensor::DType::kF32);
  if (alone == nullptr) GTEST_SKIP() << "this backend lacks one of the model's ops";
  const auto refs = references(*alone);
  for (const Split split :
       {Split{2, false}, Split{4, false}, Split{2, true}, Split{1, false, 2}, Split{2, false, 2}, Split{2, true, 2}}) {
    auto group = Runner::create(model_directory(GetParam().model), {.backend = GetParam().backend,
                                                                    .isa = GetParam().isa,
                                                                    .dtype = tensor::DType::kF32,
                                                                    .threads = split.ranks * split.stages,
                                                                    .ranks = split.ranks,
                                                                    .stages = split.stages,
                                                                    .whole_experts = split.whole_experts});
    if (split.ranks > 2 && (absl::IsInvalidArgument(group.status()) || too_few_devices(group.status()))) continue;
    if (too_few_devices(group.status())) GTEST_SKIP() << group.status();
    if (absl::IsUnimplemented(group.status())) continue;  // of some kinds of layers: only stages split them
    ASSERT_TRUE(group.ok()) << group.status();
    for (const auto& r : refs) {
      const auto expected = prefill(*alone, r, 7), got = prefill(**group, r, 7);
      float largest = 1;
      for (const float v : expected) largest = std::max(largest, std::abs(v));
      EXPECT_LT(largest_difference(got, expected), 1e-5 * largest)
          << split.stages << " stages of " << split.ranks << " ranks, whole experts " << split.whole_experts << ", "
          << r.ids.size() << " tokens";
    }
    expect_greedy(**group, refs);
  }
}

// To the byte: what the plan predicts is what the backends were asked for, of one rank and of several.
TEST_P(Models, MemoryAsPlanned) {
  for (const auto dtype : {tensor::DType::kF32, tensor::DType::kBf16}) {
    for (const Split split : {Split{1, false}, Split{2, false}, Split{1, false, 2}, Split{2, false, 2}}) {
      SCOPED_TRACE(testing::Message() << tensor::dtype_name(dtype) << ", " << split.stages << " stages of "
                                      << split.ranks << " ranks");
      const auto runner = Runner::create(model_directory(GetParam().model), {.backend = GetParam().backend,
                                                                             .isa = GetParam().isa,
                                                                             .dtype = dtype,
                                                                             .threads = split.ranks * split.stages,
                                                                             .ranks = split.ranks,
                                                                             .stages = split.stages});
      if (absl::IsUnimplemented(runner.status()) || too_few_devices(runner.status())) continue;
      ASSERT_TRUE(runner.ok()) << runner.status();
      const plan::MemoryPlan& plan = (*runner)->plan();
      const model::Transformer& model = (*runner)->model();
      EXPECT_EQ(plan.weights, static_cast<int64_t>(model.weight_bytes()));
      EXPECT_EQ(plan.scratch, static_cast<int64_t>(model.scratch_bytes()));
      EXPECT_EQ(plan.kv_cache(), static_cast<int64_t>(model.kv_bytes()));
      EXPECT_EQ(plan.kv_block_bytes,
                static_cast<int64_t>(model.kv_block_bytes({.block_size = 16, .type = {dtype, {}}})));
      EXPECT_GT(plan.weights, 0);
      EXPECT_GT(plan.scratch, 0);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, Models, testing::ValuesIn(cases()), [](const auto& info) {
  std::string name = info.param.model + "_" + info.param.backend + info.param.isa;
  std::replace_if(
      name.begin(), name.end(), [](char c) { return !std::isalnum(static_cast<unsigned char>(c)); }, '_');
  return name;
});

}  // namespace
}  // namespace polymath::conformance
