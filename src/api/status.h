#pragma once

// The ONE table from a Status code to an HTTP status, and the request field that a Status names. Each dialect formats a
// Failure in its own JSON (api/dialects.h).

#include <string>
#include <string_view>

#include "absl/strings/str_cat.h"
#include "base/status.h"

namespace polymath::api {

// The first characters of a text, as valid UTF-8 that takes at most so many bytes in a JSON string. "..." stands for
// what is left out. REQUIRES: room for it.
std::string excerpt(std::string_view text, size_t json_bytes_max);

inline constexpr size_t kParamBytesMax = 128;  // of a field's name: a Status has an excerpt

// kInvalidArgument that names the request's field.
absl::Status invalid(std::string_view param, std::string_view sentence);
// kUnimplemented that names the request's field: known, not built yet. 400: what a request asks for is never the
// server's failure. Routers of clients take a server that answers 5xx out of service.
absl::Status not_built(std::string_view param, std::string_view sentence);
// kInvalidArgument: prompt and answer exceed the context. Clients read the sentence and the code, so no name precedes
// it.
absl::Status too_long(std::string_view param, std::string_view sentence);

// Takes the field's name from the first word of a JsonReader's complaint ("temperature: must be a number").
absl::Status name_field(const absl::Status& complaint);
// The field that a Status names; empty: none.
std::string field_of(const absl::Status& status);

// The sentence of 503 answers while the server stops. Another replica can answer.
inline constexpr char kShuttingDown[] = "the server is shutting down";
// And while it starts.
inline constexpr char kLoading[] = "the model is loading";

int http_status(const absl::Status& status);

// A failure before a dialect formats it. Raised by a handler (through its Status) or by the server (404, 413, ...).
struct Failure {
  int http_status = 500;
  std::string message;
  std::string field;  // of the request; empty: none
  std::string code;   // a word that clients compare; empty: http_status itself
};
Failure failure_of(const absl::Status& status);

// Of a message in an error body. Each dialect shows an excerpt, as messages may quote what a client sent.
inline constexpr size_t kMessageBytesMax = 1400;

// A failure in a dialect's words. The dialect may change the status: TGI answers 422 to bad fields.
struct ErrorReply {
  int http_status = 500;
  std::string body;  // JSON
};
using ErrorBody = ErrorReply (*)(const Failure& failure);

}  // namespace polymath::api
