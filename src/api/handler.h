#pragma once

// What the handlers of every dialect do: read the body, name the request, start a generation, answer.

#include <memory>
#include <string>
#include <string_view>

#include "api/generation.h"
#include "api/service.h"
#include "api/status.h"
#include "base/json.h"
#include "server/http_server.h"

namespace polymath::api {

// The body as JSON of bounded depth. A key that occurs twice is refused: another reader might take the other value.
// kUnavailable: the JSON of all large bodies takes too much memory now.
absl::StatusOr<base::JsonValue> parse_body(const Service& service, const server::HttpRequest& request);

// The client's X-Request-Id, else `from_body`. An id that is long or has unusual characters is not used. Without a
// usable one: a random id.
std::string request_id(const ApiLimits& limits, const server::HttpRequest& request, std::string_view from_body);

// Submits the plan. The writer answers from then on; a client that leaves cancels the generation.
// `stream`: the writer's flush() is also called while no token comes (api/ticker.h).
absl::StatusOr<std::shared_ptr<Generation>> start_generation(Service& service, GenerationPlan plan,
                                                             std::unique_ptr<AnswerWriter> writer,
                                                             const std::shared_ptr<server::HttpReply>& reply,
                                                             bool stream);

// The place that the gate reserved for a request. Null: its route has none.
std::shared_ptr<engine::Place> place_of(const server::HttpRequest& request);

void send_json(server::HttpReply& reply, std::string body, std::string_view request_id,
               server::HttpHeaders headers = {});
// `status` in the dialect's format, with Retry-After if a retry can help.
server::HttpServer::Refusal refusal_of(ErrorBody error_body, const absl::Status& status, std::string_view request_id);
void send_error(server::HttpReply& reply, ErrorBody error_body, const absl::Status& status,
                std::string_view request_id);

}  // namespace polymath::api
