#include "server/request_metrics.h"

namespace polymath::server {
namespace {

std::string method_label(std::string_view method) {
  for (const std::string_view known : {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}) {
    if (method == known) return std::string(method);
  }
  return "unknown";
}

// Seconds, from a health check to an answer of ten minutes. 0.1, 0.5 and 1 are vLLM's bounds.
const std::vector<double>& duration_bounds() {
  static const auto* const bounds =
      new std::vector<double>{0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600};
  return *bounds;
}

}  // namespace

void RequestMetrics::record(std::string_view handler, std::string_view method, int status, double seconds) {
  const std::string handler_label(handler.empty() ? "unknown" : handler);
  const std::string method_text = method_label(method);
  const int status_class = status / 100;
  const std::lock_guard lock(mutex_);
  base::Counter*& counter = counters_[{handler_label, method_text, status_class}];
  if (counter == nullptr) {
    counter = &registry_.counter(
        "http_requests_total", "Requests answered, by handler, method and status class.",
        {{"handler", handler_label}, {"method", method_text}, {"status", std::to_string(status_class) + "xx"}});
  }
  base::Histogram*& duration = durations_[{handler_label, method_text, 0}];
  if (duration == nullptr) {
    duration = &registry_.histogram("http_request_duration_seconds",
                                    "Seconds from a request's last byte to its response's last byte.",
                                    {{"handler", handler_label}, {"method", method_text}}, duration_bounds());
  }
  counter->add();
  duration->observe(seconds);
}

}  // namespace polymath::server
