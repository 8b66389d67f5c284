#include "commands/model_facts.h"

#include <gtest/gtest.h>

#include "model/loading/load.h"

namespace polymath::commands {
namespace {

// The stand-in: a Mixtral of 4 layers, hidden 128, 8 experts of 192 of which 2 are active, vocabulary 512.
TEST(ModelFacts, OfTheStandIn) {
  const auto config = model::read_config(**weights::open_model_files(POLYMATH_STAND_IN));
  ASSERT_TRUE(config.ok()) << config.status();
  const ModelFacts facts = model_facts(*config);
  const int64_t expert = 3 * 128 * 192, layers = 4;
  EXPECT_EQ(facts.moe_layers, layers);
  // The embedding is read by row and not multiplied: active parameters leave it out.
  EXPECT_EQ(facts.parameters - facts.active_parameters, layers * (8 - 2) * expert + 512 * 128);
}

}  // namespace
}  // namespace polymath::commands
