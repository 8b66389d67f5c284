#pragma once

// http_requests_total{handler,method,status} and http_request_duration_seconds{handler,method}, as vLLM's
// instrumentator names them: status by class ("2xx").
//
// A metric is made when its labels first occur. Clients cannot make new ones at will: each label has few values.
// handler is a route's path or "unknown", method one of seven or "unknown".
//
// Thread safety: all of it.

#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <tuple>

#include "base/metrics.h"

namespace polymath::server {

class RequestMetrics {
 public:
  explicit RequestMetrics(base::MetricsRegistry& registry) : registry_(registry) {}

  // `handler` empty: unknown.
  void record(std::string_view handler, std::string_view method, int status, double seconds);

 private:
  using Key = std::tuple<std::string, std::string, int>;  // handler, method, status / 100

  base::MetricsRegistry& registry_;
  std::mutex mutex_;
  std::map<Key, base::Counter*> counters_;
  std::map<Key, base::Histogram*> durations_;  // the key's status is 0
};

}  // namespace polymath::server
