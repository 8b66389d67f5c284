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

// The instrumentator's, for percentiles of all handlers together.
const std::vector<double>& fine_duration_bounds() {
  static const auto* const bounds = new std::vector<double>{0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1,  1.5, 2,
                                                            2.5,  3,     3.5,  4,     4.5, 5,    7.5, 10,   30, 60};
  return *bounds;
}

}  // namespace

RequestMetrics::RequestMetrics(base::MetricsRegistry& registry, std::function<void(const Answered&)> on_answered)
    : registry_(registry),
      on_answered_(std::move(on_answered)),
      fine_durations_(registry.histogram("http_request_duration_highr_seconds",
                                         "As http_request_duration_seconds, of all handlers together, in finer steps.",
                                         {}, fine_duration_bounds())) {}

RequestMetrics::Sizes& RequestMetrics::sizes_of(const std::string& handler) {
  Sizes& sizes = sizes_[handler];
  if (sizes.request == nullptr) {
    sizes.request =
        &registry_.summary("http_request_size_bytes", "Bytes of request bodies, by handler.", {{"handler", handler}});
  }
  if (sizes.response == nullptr) {
    sizes.response = &registry_.summary("http_response_size_bytes",
                                        "Bytes of responses as they were sent, heads and streams included, by handler.",
                                        {{"handler", handler}});
  }
  return sizes;
}

void RequestMetrics::record(const Answered& answered) {
  const std::string handler_label(answered.handler.empty() ? "unknown" : answered.handler);
  const std::string method_text = method_label(answered.method);
  const int status_class = answered.status / 100;
  fine_durations_.observe(answered.seconds);
  if (on_answered_) on_answered_(answered);
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
  duration->observe(answered.seconds);
  const Sizes& sizes = sizes_of(handler_label);
  sizes.request->observe(static_cast<double>(answered.request_bytes));
  sizes.response->observe(static_cast<double>(answered.response_bytes));
}

}  // namespace polymath::server
