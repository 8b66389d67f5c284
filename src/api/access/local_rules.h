#pragma once

// Protected mode: a server without keys serves its own machine alone, and no web page that a browser there shows.
//
// A page can send requests to localhost, and by DNS rebinding under its own name. So the peer must be local, and the
// Host header must name this machine. An Origin must be the same host, or allowed. A body must be application/json: a
// page of another origin cannot send that unasked.
//
// Thread safety: constant.

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "server/http_server.h"

namespace polymath::api {

struct LocalRules {
  std::string host;                          // that the server listens on
  std::vector<std::string> allowed_origins;  // "*": any

  struct Breach {
    int http_status;
    std::string_view reason;    // a word, for the metric
    std::string_view sentence;  // a literal
  };
  static std::vector<std::string_view> reasons();  // of all breaches that check() returns
  // Nullopt: the request may pass.
  std::optional<Breach> check(const server::HttpRequest& head) const;
};

}  // namespace polymath::api
