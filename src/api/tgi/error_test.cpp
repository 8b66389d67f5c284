#include "api/tgi/error.h"

#include <gtest/gtest.h>

namespace polymath::api {
namespace {

TEST(TgiError, StatusesTypesAndTexts) {
  const struct {
    Failure failure;
    int http;
    const char* body;
  } rows[] = {
      {failure_of(invalid("top_k", "no")), 422,
       R"({"error":"Input validation error: top_k: no","error_type":"validation"})"},
      {failure_of(not_built("grammar", "not built yet")), 422,
       R"({"error":"Input validation error: grammar: not built yet","error_type":"validation"})"},
      {failure_of(absl::ResourceExhaustedError("full")), 429,
       R"({"error":"Model is overloaded","error_type":"overloaded"})"},
      {failure_of(absl::InternalError("NaN")), 424,
       R"({"error":"Request failed during generation: NaN","error_type":"generation"})"},
      {failure_of(absl::AbortedError("stopping")), 500,
       R"({"error":"Incomplete generation","error_type":"incomplete_generation"})"},
      {failure_of(absl::UnavailableError("stopping")), 503, R"({"error":"stopping","error_type":"overloaded"})"},
      {{401, "key"}, 401, R"({"error":"key","error_type":"unauthorized"})"},
      {{404, "no such path"}, 404, R"({"error":"no such path","error_type":"not_found"})"},
      {{413, "too large"}, 413, R"({"error":"too large","error_type":"validation"})"},
      {{400, "no role", "", "template_error"},
       422,
       R"({"error":"Template error: no role","error_type":"template_error"})"},
      {{504, "late"}, 504, R"({"error":"late","error_type":"generation"})"},
  };
  for (const auto& row : rows) {
    const ErrorReply reply = tgi_error(row.failure);
    EXPECT_EQ(reply.http_status, row.http) << row.body;
    EXPECT_EQ(reply.body, row.body);
  }
}

}  // namespace
}  // namespace polymath::api
