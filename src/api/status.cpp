#include "api/status.h"

#include <algorithm>
#include <cctype>

#include "absl/strings/cord.h"
#include "text/utf8.h"

namespace polymath::api {
namespace {

constexpr char kParamPayload[] = "polymath/param";
constexpr char kCodePayload[] = "polymath/code";
constexpr char kUnsupported[] = "unsupported_parameter";
constexpr std::string_view kNameEnd = ": ";
constexpr char kTooLong[] = "context_length_exceeded";

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
    {absl::StatusCode::kUnimplemented, 400},
    {absl::StatusCode::kUnavailable, 503},
    {absl::StatusCode::kDeadlineExceeded, 504},
};

absl::Status with_param(absl::Status status, std::string_view param) {
  if (!param.empty()) status.SetPayload(kParamPayload, absl::Cord(excerpt(param, kParamBytesMax)));
  return status;
}

std::string named(std::string_view param, std::string_view sentence) {
  const std::string name = param.empty() ? "" : excerpt(param, kParamBytesMax) + std::string(kNameEnd);
  return absl::StrCat(name, std::string(sentence));
}

std::string code_of(const absl::Status& status) {
  if (status.code() == absl::StatusCode::kUnimplemented) return kUnsupported;
  const auto payload = status.GetPayload(kCodePayload);
  return payload.has_value() ? std::string(*payload) : std::string();
}

// Bytes of a character in a JSON string.
size_t json_bytes(const text::CodePoint& c) {
  constexpr size_t kEscape = 6;  // "\\u001f"
  if (!c.valid) return text::kReplacementUtf8.size();
  if (c.value < 0x20) return kEscape;
  return c.value == '"' || c.value == '\\' ? 2 : static_cast<size_t>(c.bytes);
}

}  // namespace

std::string excerpt(std::string_view text, size_t json_bytes_max) {
  constexpr std::string_view kMore = "...";
  std::string out;
  size_t bytes = 0, fitting = 0;  // of `out`: as JSON, and where it may be cut
  while (!text.empty()) {
    const text::CodePoint c = text::decode_utf8(text);
    bytes += json_bytes(c);
    if (bytes > json_bytes_max) return out.substr(0, fitting).append(kMore);
    text::append_utf8(out, c.value);
    if (bytes + kMore.size() <= json_bytes_max) fitting = out.size();
    text.remove_prefix(static_cast<size_t>(c.bytes));
  }
  return out;
}

absl::Status invalid(std::string_view param, std::string_view sentence) {
  return with_param(absl::InvalidArgumentError(named(param, sentence)), param);
}

absl::Status not_built(std::string_view param, std::string_view sentence) {
  return with_param(absl::UnimplementedError(named(param, sentence)), param);
}

absl::Status too_long(std::string_view param, std::string_view sentence) {
  absl::Status status = with_param(absl::InvalidArgumentError(std::string(sentence)), param);
  status.SetPayload(kCodePayload, absl::Cord(kTooLong));
  return status;
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

Failure failure_of(const absl::Status& status) {
  return {http_status(status), std::string(status.message()), field_of(status), code_of(status)};
}

}  // namespace polymath::api
