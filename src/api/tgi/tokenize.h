#pragma once

// TGI's POST /tokenize ({"inputs"}) and POST /chat_tokenize ({"messages"}).
//
//   [{"id": 5, "text": "the", "start": 0, "stop": 3}, ...]      start, stop: bytes of the text, as TGI counts them

#include <string>

#include "api/service.h"
#include "base/json.h"
#include "base/status.h"
#include "server/http_server.h"

namespace polymath::api {

// Both: kNotFound: there is no tokenizer. kInvalidArgument: a field, named.
absl::StatusOr<std::string> tgi_tokenize(const Service& service, const base::JsonValue& json,
                                         const server::HttpReply& reply);

// {"tokenize_response": [...], "templated_text"}. kFailedPrecondition: the template refuses the chat.
absl::StatusOr<std::string> tgi_chat_tokenize(const Service& service, const base::JsonValue& json,
                                              const server::HttpReply& reply);

}  // namespace polymath::api
