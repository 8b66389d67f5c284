#pragma once

// The HTTP APIs that one server speaks. A dialect is a folder of this room and its line in dialects.cpp.

#include <memory>
#include <span>
#include <string_view>

#include "api/service.h"
#include "api/status.h"
#include "server/http_server.h"

namespace polymath::api {

using Handle = void (*)(Service&, const server::HttpRequest&, std::shared_ptr<server::HttpReply>);
// While the model loads there is no service yet.
using HandleLoading = void (*)(base::MetricsRegistry&, const server::HttpRequest&, std::shared_ptr<server::HttpReply>);

struct Route {
  std::string_view method;
  std::string_view path;  // exact, or a prefix before "*"
  Handle handle;
  bool open = false;                      // needs no API key, and has a thread apart from work
  bool generates = false;                 // takes a place in the engine's queue before its body is parsed
  bool shows_metrics = false;             // has a thread apart from probes; --protect-metrics asks for the admin key
  HandleLoading while_loading = nullptr;  // null: 503 with Retry-After
};

struct Dialect {
  std::string_view name;
  std::span<const Route> routes;
  ErrorBody error_body;  // also for errors that the server and the key check raise on this dialect's paths
};

// In order of preference; see dialect_of.
std::span<const Dialect* const> dialects();

// The dialect that formats errors on `path`: the one with that route. For an unknown path it is the first dialect with
// a route under the same first segment ("/v1"). Without one, it is the first of the list.
const Dialect& dialect_of(std::string_view path);

// The route with exactly this method and path. Null: none.
const Route* find_route(std::string_view method, std::string_view path);

// The dialects without a folder: vLLM's /tokenize and /detokenize; SageMaker's /invocations; probes and metrics.
extern const Dialect kTokenizeDialect;
extern const Dialect kInvocationsDialect;
extern const Dialect kAdminDialect;

}  // namespace polymath::api
