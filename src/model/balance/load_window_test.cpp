#include "model/balance/load_window.h"

#include <gtest/gtest.h>

namespace polymath::model {
namespace {

// Expert 0 of one layer gets a pair a step, expert 1 two.
TEST(LoadWindow, HoldsTheLatestSteps) {
  for (const int steps : {1, 5, 8, 96, 1000}) {
    LoadWindow window(steps);
    EXPECT_TRUE(window.loads().empty());
    std::vector<int64_t> pairs(2);
    std::vector<Model::ExpertLoad> load(1);
    load[0].pairs = pairs;
    window.add(load);
    for (int step = 1; step <= 3 * steps; ++step) {
      pairs[0] += 1, pairs[1] += 2;
      if (window.due(step)) window.add(load);
      EXPECT_EQ(window.full(), step >= steps) << steps << " steps, step " << step;
    }
    EXPECT_EQ(window.loads(), (LoadWindow::Loads{{static_cast<double>(steps), 2.0 * steps}})) << steps;
    window.restart();
    EXPECT_FALSE(window.full());
    EXPECT_EQ(window.loads(), (LoadWindow::Loads{{0, 0}}));
  }
}

}  // namespace
}  // namespace polymath::model
