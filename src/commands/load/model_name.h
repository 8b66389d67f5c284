#pragma once

// The name of the model that a server has, where the caller names none.

#include <string>

#include "base/status.h"
#include "commands/http/http_client.h"

namespace polymath::commands::load {

// The first of GET /v1/models. Blocks. kUnavailable: no server, or no such answer.
absl::StatusOr<std::string> first_model(http::HttpClient& client, const http::Target& target);

}  // namespace polymath::commands::load
