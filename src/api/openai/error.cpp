#include "api/openai/error.h"

#include <utility>

#include "api/json_values.h"
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

// The members of both shapes.
void describe(const Failure& failure, base::JsonObject& error) {
  error["message"] = text_json(excerpt(failure.message, kMessageBytesMax));
  error["type"] = text_json(openai_error_type(failure.http_status));
  error["param"] = nullptr;
  if (!failure.field.empty()) error["param"] = text_json(failure.field);
  error["code"] = failure.http_status;
}

}  // namespace

std::string_view openai_error_type(int http_status) {
  for (const TypeRow& row : kTypes) {
    if (row.http == http_status) return row.type;
  }
  return http_status < 500 ? "BadRequestError" : "InternalServerError";
}

ErrorReply openai_error(const Failure& failure) {
  base::JsonObject error;
  describe(failure, error);
  if (!failure.code.empty()) error["code"] = text_json(failure.code);
  return {failure.http_status, base::to_text(base::JsonObject{{"error", std::move(error)}})};
}

ErrorReply openai_flat_error(const Failure& failure) {
  base::JsonObject error;
  error["object"] = "error";
  describe(failure, error);
  return {failure.http_status, base::to_text(error)};
}

}  // namespace polymath::api
