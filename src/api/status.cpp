#include "api/status.h"

#include <algorithm>
#include <cctype>

#include "absl/strings/cord.h"
#include "base/json.h"

namespace polymath::api {
namespace {

constexpr char kParamPayload[] = "polymath/param";

struct CodeRow {
  absl::StatusCode code;
  int http;
};
constexpr CodeRow kCodes[] = {
    {absl::StatusCode::kInvalidArgument, 400},
    {absl::StatusCode::kOutOfRange, 400},
    {absl::StatusCode::kFailedPrecondition, 400},
    {absl::StatusCode::kUnauthenticated, 401},
    {absl::StatusCode::kPermissionDenied, 403},
    {absl::StatusCode::kNotFound, 404},
    {absl::StatusCode::kAlreadyExists, 409},
    {absl::StatusCode::kAborted, 409},
    {absl::StatusCode::kResourceExhausted, 429},
    {absl::StatusCode::kCancelled, 499},
    {absl::StatusCode::kDataLoss, 500},
    {absl::StatusCode::kInternal, 500},
    {absl::StatusCode::kUnknown, 500},
    {absl::StatusCode::kUnimplemented, 501},
    {absl::StatusCode::kUnavailable, 503},
    {absl::StatusCode::kDeadlineExceeded, 504},
};

struct TypeRow {
  int http;
  std::string_view type;
};
// What OpenAI's and vLLM's clients look at; the rows without a Status code are the door's own (server/).
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

absl::Status with_param(absl::Status status, std::string_view param) {
  if (!param.empty()) status.SetPayload(kParamPayload, absl::Cord(std::string(param)));
  return status;
}

std::string named(std::string_view param, std::string_view sentence) {
  return param.empty() ? std::string(sentence) : absl::StrCat(std::string(param), ": ", std::string(sentence));
}

}  // namespace

absl::Status invalid(std::string_view param, std::string_view sentence) {
  return with_param(absl::InvalidArgumentError(named(param, sentence)), param);
}

absl::Status not_built(std::string_view param, std::string_view sentence) {
  return with_param(absl::UnimplementedError(named(param, sentence)), param);
}

absl::Status name_field(const absl::Status& complaint) {
  if (complaint.ok()) return complaint;
  const std::string message(complaint.message());
  const size_t end = message.find(": ");
  if (end == std::string::npos || end == 0) return complaint;
  const bool is_name = std::all_of(message.begin(), message.begin() + static_cast<std::ptrdiff_t>(end), [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '.';
  });
  return is_name ? with_param(complaint, std::string_view(message).substr(0, end)) : complaint;
}

std::string field_of(const absl::Status& status) {
  const auto payload = status.GetPayload(kParamPayload);
  return payload.has_value() ? std::string(*payload) : std::string();
}

int http_status(const absl::Status& status) {
  for (const CodeRow& row : kCodes) {
    if (row.code == status.code()) return row.http;
  }
  return 500;
}

std::string_view error_type(int http_status) {
  for (const TypeRow& row : kTypes) {
    if (row.http == http_status) return row.type;
  }
  return http_status < 500 ? "BadRequestError" : "InternalServerError";
}

std::string error_body(int http_status, std::string_view message, std::string_view param) {
  const std::string_view type = error_type(http_status);
  base::JsonObject error;
  error["message"] = boost::json::string(message.data(), message.size());
  error["type"] = boost::json::string(type.data(), type.size());
  error["param"] = nullptr;
  if (!param.empty()) error["param"] = boost::json::string(param.data(), param.size());
  error["code"] = http_status;
  return base::to_text(base::JsonObject{{"error", std::move(error)}});
}

std::string error_body(const absl::Status& status) {
  return error_body(http_status(status), std::string(status.message()), field_of(status));
}

}  // namespace polymath::api
