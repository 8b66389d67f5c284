#pragma once

// One GET, and its whole answer.

#include <string>
#include <string_view>

#include "commands/http/http_client.h"

namespace polymath::commands::http {

struct Fetched {
  int status = 0;
  std::string body;
};

// Waits for the answer. kResourceExhausted: a body of more than `bytes_max`. kDeadlineExceeded: the client's time-out.
// kUnavailable: no answer. REQUIRES: nothing else is in flight.
absl::StatusOr<Fetched> fetch(HttpClient& client, const Target& target, std::string_view path, size_t bytes_max);

}  // namespace polymath::commands::http
