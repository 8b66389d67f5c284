#pragma once

// How a failure looks on the wire: the ONE table from a Status code to HTTP's number and OpenAI's error type.
//
//   {"error": {"message": "...", "type": "BadRequestError", "param": "temperature", "code": 400}}

#include <string>
#include <string_view>

#include "absl/strings/str_cat.h"
#include "base/status.h"

namespace polymath::api {

// kInvalidArgument that names the request's field.
absl::Status invalid(std::string_view param, std::string_view sentence);
// kUnimplemented that names it: known, and not built yet.
absl::Status not_built(std::string_view param, std::string_view sentence);

// A JsonReader's complaint ("temperature: must be a number"): its first word becomes the field's name.
absl::Status name_field(const absl::Status& complaint);
// The field that a Status names; empty: none.
std::string field_of(const absl::Status& status);

int http_status(const absl::Status& status);
std::string_view error_type(int http_status);

std::string error_body(int http_status, std::string_view message, std::string_view param = "");
std::string error_body(const absl::Status& status);

}  // namespace polymath::api
