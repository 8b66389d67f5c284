#include "api/openai/error.h"

#include "base/json.h"

namespace polymath::api {
namespace {

struct TypeRow {
  int http;
  std::string_view type;
};
// The types that clients of OpenAI and vLLM read. Some statuses come from the server alone (405, 408, 413, ...).
constexpr TypeRow kTypes[] = {
    {400, "BadRequestError"},
    {401, "AuthenticationError"},
    {403, "PermissionDeniedError"},
    {404, "NotFoundError"},
    {405, "MethodNotAllowedError"},
    {408, "RequestTimeoutError"},
    {409, "ConflictError"},
    {413, "RequestTooLargeError"},
    {414, "RequestTooLargeError"},
    {415, "UnsupportedMediaTypeError"},
    {429, "RateLimitError"},
    {431, "RequestTooLargeError"},
    {499, "ClientClosedRequestError"},
    {500, "InternalServerError"},
    {501, "NotImplementedError"},
    {503, "ServiceUnavailableError"},
    {504, "TimeoutError"},
};

}  // namespace

std::string_view openai_error_type(int http_status) {
  for (const TypeRow& row : kTypes) {
    if (row.http == http_status) return row.type;
  }
  return http_status < 500 ? "BadRequestError" : "InternalServerError";
}

ErrorReply openai_error(const Failure& failure) {
  const std::string_view type = openai_error_type(failure.http_status);
  base::JsonObject error;
  error["message"] = boost::json::string(failure.message);
  error["type"] = boost::json::string(type.data(), type.size());
  error["param"] = nullptr;
  if (!failure.field.empty()) error["param"] = boost::json::string(failure.field);
  error["code"] = failure.http_status;
  if (!failure.code.empty()) error["code"] = boost::json::string(failure.code);
  return {failure.http_status, base::to_text(base::JsonObject{{"error", std::move(error)}})};
}

}  // namespace polymath::api
