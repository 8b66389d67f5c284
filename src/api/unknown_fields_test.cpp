#include "api/unknown_fields.h"

#include <gtest/gtest.h>

#include <vector>

namespace polymath::api {
namespace {

TEST(UnknownFields, ANameIsWarnedOfOnceAndNotWithoutBound) {
  UnknownFields fields;
  const std::vector<std::string> two = {"temperatur", "x"};
  fields.warn(two);
  fields.warn(two);
  EXPECT_EQ(fields.n_warned(), 2u);
  for (int i = 0; i < 1000; ++i) fields.warn(std::vector<std::string>{std::to_string(i)});
  EXPECT_EQ(fields.n_warned(), UnknownFields::kNamesMax);
}

}  // namespace
}  // namespace polymath::api
