#include "api/json_values.h"

#include <gtest/gtest.h>

namespace polymath::api {
namespace {

TEST(ObjectText, IsTheObjectsJson) {
  std::string out = "[";
  ObjectText empty(out);
  empty.close();
  out += ',';
  ObjectText object(out);
  object.add("a", 1);
  object.member("b") += "[null]";
  object.add_all({{"c", "x\"y"}, {"d", nullptr}});
  object.close();
  EXPECT_EQ(out + "]", R"([{},{"a":1,"b":[null],"c":"x\"y","d":null}])");
}

TEST(ListText, IsTheListsJson) {
  ListText empty('[');
  EXPECT_EQ(empty.close(']'), "[]");
  ListText list('[');
  list.add(1);
  list.next() += "{}";
  list.add("x");
  EXPECT_EQ(list.close(']'), R"([1,{},"x"])");
}

}  // namespace
}  // namespace polymath::api
