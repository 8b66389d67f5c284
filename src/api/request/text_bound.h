#pragma once

// Bounds of requests that only tokenize: no text that cannot fit, and no work for a client that has left.

#include <cstddef>
#include <string_view>

#include "api/served_model.h"
#include "base/json.h"
#include "base/status.h"
#include "server/http_server.h"

namespace polymath::api {

// A token covers at most as many bytes as the vocabulary's longest entry. A text that cannot fit is not tokenized.
absl::Status check_text(const ServedModel& model, size_t text_bytes, std::string_view field);

// Of all strings in a value.
size_t text_bytes(const base::JsonValue& value);

// kCancelled: the client has gone. Called between the parts of long work.
absl::Status check_client(const server::HttpReply& reply);

}  // namespace polymath::api
