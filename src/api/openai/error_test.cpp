#include "api/openai/error.h"

#include <gtest/gtest.h>

#include "base/json.h"

namespace polymath::api {
namespace {

TEST(OpenAiError, EveryStatusHasItsType) {
  const struct {
    int http;
    const char* type;
  } rows[] = {
      {400, "BadRequestError"},      {401, "AuthenticationError"}, {404, "NotFoundError"},
      {413, "RequestTooLargeError"}, {429, "RateLimitError"},      {499, "ClientClosedRequestError"},
      {500, "InternalServerError"},  {501, "NotImplementedError"}, {503, "ServiceUnavailableError"},
      {504, "TimeoutError"},         {418, "BadRequestError"},     {599, "InternalServerError"},
  };
  for (const auto& row : rows) EXPECT_EQ(openai_error_type(row.http), row.type) << row.http;
}

TEST(OpenAiError, BodyNamesTheField) {
  EXPECT_EQ(openai_error(failure_of(invalid("top_p", "must be \"less\""))).body,
            R"({"error":{"message":"top_p: must be \"less\"","type":"BadRequestError","param":"top_p","code":400}})");
  EXPECT_EQ(
      openai_error(failure_of(not_built("suffix", "no"))).body,
      R"({"error":{"message":"suffix: no","type":"BadRequestError","param":"suffix","code":"unsupported_parameter"}})");
  const ErrorReply reply = openai_error({404, "no"});
  EXPECT_EQ(reply.body, R"({"error":{"message":"no","type":"NotFoundError","param":null,"code":404}})");
  EXPECT_EQ(reply.http_status, 404);
}

TEST(OpenAiError, TheFlatFormOfVllm063) {
  EXPECT_EQ(openai_flat_error(failure_of(not_built("suffix", "no"))).body,
            R"({"object":"error","message":"suffix: no","type":"BadRequestError","param":"suffix","code":400})");
  EXPECT_EQ(openai_flat_error({404, "no"}).body,
            R"({"object":"error","message":"no","type":"NotFoundError","param":null,"code":404})");
}

TEST(OpenAiError, BodiesAreSmall) {
  const std::string long_name(4000, '"');
  const ErrorReply reply = openai_error(failure_of(invalid(long_name, std::string(1 << 20, '\x01'))));
  EXPECT_LE(reply.body.size(), 2048u);
  EXPECT_TRUE(base::parse_json(reply.body, {}).ok());
}

}  // namespace
}  // namespace polymath::api
