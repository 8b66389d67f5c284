#include "api/request/field_names.h"

#include <gtest/gtest.h>

#include "api/status.h"

namespace polymath::api {
namespace {

constexpr FieldName kNames[] = {{"max_tokens", "max_output_tokens"}};

TEST(FieldNames, AFieldGetsTheDialectsName) {
  const absl::Status renamed = in_own_words(invalid("max_tokens", "must be positive"), kNames);
  EXPECT_EQ(renamed, invalid("max_output_tokens", "must be positive"));
  EXPECT_EQ(field_of(renamed), "max_output_tokens");
  EXPECT_EQ(in_own_words(not_built("max_tokens", "x"), kNames), not_built("max_output_tokens", "x"));
}

TEST(FieldNames, OthersStay) {
  for (const absl::Status& status : {absl::OkStatus(), invalid("stop", "x"), absl::InternalError("max_tokens: x"),
                                     too_long("max_tokens", "a sentence for clients")}) {
    EXPECT_EQ(in_own_words(status, kNames), status);
  }
}

}  // namespace
}  // namespace polymath::api
