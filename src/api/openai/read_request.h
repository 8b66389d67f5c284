#pragma once

// An HTTP request of either generating endpoint -> OpenAiRequest with its prompts, ready to submit.

#include <string>

#include "api/openai/request.h"
#include "api/service.h"
#include "base/status.h"
#include "server/http_server.h"

namespace polymath::api {

struct Call {
  const server::HttpRequest& http;
  const server::HttpReply& reply;  // work ends once the client has gone
};

// A call whose body is this JSON, in the words of the endpoint.
struct JsonCall {
  const Call& call;
  base::JsonValue json;
};

absl::StatusOr<OpenAiRequest> read_openai_request(Service& service, Endpoint endpoint, const JsonCall& call,
                                                  std::string& id, bool with_text = false);
// `id`: the request's name; the body's request_id replaces it. `with_text`: prompt_facts have it in any case.
// kCancelled: the client has gone.
absl::StatusOr<OpenAiRequest> read_openai_request(Service& service, Endpoint endpoint, const Call& call,
                                                  std::string& id, bool with_text = false);

}  // namespace polymath::api
