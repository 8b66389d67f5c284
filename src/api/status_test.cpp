#include "api/status.h"

#include <gtest/gtest.h>

#include "base/json.h"

namespace polymath::api {
namespace {

TEST(Status, EveryCodeHasItsNumberAndType) {
  const struct {
    absl::Status status;
    int http;
    const char* type;
  } rows[] = {
      {absl::InvalidArgumentError("m"), 400, "BadRequestError"},
      {absl::UnauthenticatedError("m"), 401, "AuthenticationError"},
      {absl::NotFoundError("m"), 404, "NotFoundError"},
      {absl::ResourceExhaustedError("m"), 429, "RateLimitError"},
      {absl::CancelledError("m"), 499, "ClientClosedRequestError"},
      {absl::InternalError("m"), 500, "InternalServerError"},
      {absl::DataLossError("m"), 500, "InternalServerError"},
      {absl::UnimplementedError("m"), 501, "NotImplementedError"},
      {absl::UnavailableError("m"), 503, "ServiceUnavailableError"},
      {absl::DeadlineExceededError("m"), 504, "TimeoutError"},
  };
  for (const auto& row : rows) {
    EXPECT_EQ(http_status(row.status), row.http);
    EXPECT_EQ(error_type(row.http), row.type);
  }
}

TEST(Status, BodyNamesTheField) {
  EXPECT_EQ(error_body(invalid("top_p", "must be \"less\"")),
            R"({"error":{"message":"top_p: must be \"less\"","type":"BadRequestError","param":"top_p","code":400}})");
  EXPECT_EQ(error_body(absl::NotFoundError("no")),
            R"({"error":{"message":"no","type":"NotFoundError","param":null,"code":404}})");
}

TEST(Status, ComplaintsOfReadersNameTheirField) {
  EXPECT_EQ(field_of(name_field(absl::InvalidArgumentError("seed: must be an integer"))), "seed");
  EXPECT_EQ(field_of(name_field(absl::InvalidArgumentError("stream_options.include_usage: must be true or false"))),
            "stream_options.include_usage");
  for (const char* other : {"a sentence: with a colon", ": x", "no colon", ""}) {
    EXPECT_EQ(field_of(name_field(absl::InvalidArgumentError(other))), "") << other;
  }
  EXPECT_TRUE(name_field(absl::OkStatus()).ok());
}

}  // namespace
}  // namespace polymath::api
