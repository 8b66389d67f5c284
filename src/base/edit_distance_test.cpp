#include "base/edit_distance.h"

#include <gtest/gtest.h>

namespace polymath::base {
namespace {

TEST(EditDistance, CountsChanges) {
  const struct {
    const char *a, *b;
    size_t distance;
  } rows[] = {{"", "", 0}, {"", "abc", 3}, {"abc", "", 3}, {"kitten", "sitting", 3}, {"same", "same", 0}};
  for (const auto& row : rows) EXPECT_EQ(edit_distance(row.a, row.b), row.distance) << row.a << " " << row.b;
}

}  // namespace
}  // namespace polymath::base
