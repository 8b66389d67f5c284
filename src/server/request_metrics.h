#pragma once

// Metrics of every answer, as vLLM's instrumentator names them: http_requests_total{handler,method,status} (status by
// class, "2xx"), http_request_duration_seconds{handler,method}, http_request_duration_highr_seconds, and
// http_request_size_bytes{handler} and http_response_size_bytes{handler}.
//
// A metric is made when its labels first occur. Clients cannot make new ones at will: each label has few values.
// handler is a route's path or "unknown", method one of seven or "unknown".
//
// Thread safety: all of it.

#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <tuple>

#include "base/metrics.h"
#include "server/http_server.h"

namespace polymath::server {

class RequestMetrics {
 public:
  // `on_answered` may be empty.
  RequestMetrics(base::MetricsRegistry& registry, std::function<void(const Answered&)> on_answered);

  void record(const Answered& answered);

 private:
  // Of one handler.
  struct Sizes {
    base::Histogram *request = nullptr, *response = nullptr;
  };
  using Key = std::tuple<std::string, std::string, int>;  // handler, method, status / 100

  Sizes& sizes_of(const std::string& handler);

  base::MetricsRegistry& registry_;
  const std::function<void(const Answered&)> on_answered_;
  base::Histogram& fine_durations_;  // of all handlers together
  std::mutex mutex_;
  std::map<Key, base::Counter*> counters_;
  std::map<Key, base::Histogram*> durations_;  // the key's status is 0
  std::map<std::string, Sizes> sizes_;
};

}  // namespace polymath::server
