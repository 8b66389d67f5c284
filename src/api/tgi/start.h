#pragma once

// A TGI request's way from its JSON to the engine, and the answer's form.

#include <memory>
#include <string>

#include "api/service.h"
#include "api/tgi/request.h"
#include "api/tgi/writers.h"
#include "base/json.h"
#include "server/http_server.h"

namespace polymath::api {

// What a request's parts share.
struct TgiCall {
  const server::HttpRequest& http;
  std::shared_ptr<server::HttpReply> reply;
  std::string id;
  double arrived = 0;  // in steady seconds
};

// Parses one request, tokenizes it, and bounds its answer: ready to be submitted, but for its place in the queue.
absl::StatusOr<TgiRequest> prepare_tgi(Service& service, const server::HttpRequest& http, const TgiRoute& route,
                                       const base::JsonValue& json);

// Submits it. The reply follows, whole or as a stream.
absl::Status start_tgi(Service& service, const TgiCall& call, TgiShape shape, TgiRequest request);

// POST /vertex. The reply follows.
absl::Status start_vertex(Service& service, const TgiCall& call);

// GET /info.
base::JsonObject tgi_info(const Service& service);

}  // namespace polymath::api
