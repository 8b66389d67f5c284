#include "backend/variant.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace polymath::backend {
namespace {

struct Problem {
  int size = 0;
  int* ran = nullptr;
};
template <int kNumber>
void run(const Problem& p) {
  *p.ran = kNumber;
}
constexpr Variant<Problem> kTable[] = {
    {"small", [](const Problem& p) { return p.size < 10; }, run<1>},
    {"even", [](const Problem& p) { return p.size % 2 == 0; }, run<2>},
    {kComposition, fits_always<Problem>, nullptr},
};

class VariantsTest : public testing::Test {
 protected:
  // The number of the variant that ran. 0: the composition.
  int run_of_size(int size) {
    int ran = 0;
    const bool done = variants_.run({size, &ran});
    EXPECT_EQ(done, ran != 0);
    return ran;
  }
  std::vector<std::string_view> ran() const {
    std::vector<std::string_view> names;
    for (const auto& variant : variants_.info().variants) {
      if (variant.ran) names.push_back(variant.name);
    }
    return names;
  }

  Variants<Problem> variants_{"op", kTable};
};

TEST_F(VariantsTest, RunsTheFirstThatFits) {
  EXPECT_EQ(run_of_size(4), 1);
  EXPECT_EQ(run_of_size(12), 2);
  EXPECT_EQ(run_of_size(13), 0);
}

TEST_F(VariantsTest, RemembersWhatRan) {
  EXPECT_THAT(ran(), testing::IsEmpty());
  run_of_size(13);
  run_of_size(4);
  EXPECT_THAT(ran(), testing::ElementsAre("small", kComposition));
  EXPECT_EQ(variants_.info().op, "op");
}

TEST_F(VariantsTest, ForcesByNameWhereItFits) {
  ASSERT_TRUE(variants_.force("even"));
  EXPECT_EQ(run_of_size(4), 2);
  EXPECT_EQ(run_of_size(5), 1);  // it does not fit
  ASSERT_TRUE(variants_.force(kComposition));
  EXPECT_EQ(run_of_size(4), 0);
  EXPECT_FALSE(variants_.force("odd"));
  ASSERT_TRUE(variants_.force(""));
  EXPECT_EQ(run_of_size(4), 1);
}

TEST_F(VariantsTest, ChoosesWithoutRunning) {
  EXPECT_EQ(variants_.choose({12, nullptr}).name, "even");
  EXPECT_THAT(variants_.fitting({4, nullptr}), testing::ElementsAre("small", "even", kComposition));
  EXPECT_THAT(ran(), testing::IsEmpty());
}

}  // namespace
}  // namespace polymath::backend
